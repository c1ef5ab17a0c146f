"""What is said of an image of one's own before it starts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.config import Config, Servers
from quaderno.errors import OptionsError
from quaderno.hub import preflight
from quaderno.hub.image_check import Recent
from quaderno.hub.preflight import Finding, Platform

HERE = Platform("linux", "amd64")
IMAGE = "group/lab:1"


def local(**changes: Any) -> dict[str, Any]:
    """The engine's answer about an image made from the base image."""
    settings = {"Cmd": ["quaderno-singleuser"], "Labels": {"quaderno.contract": "1"}}
    good = {"Os": "linux", "Architecture": "amd64", "Size": 1_060_000_000, "Config": settings}
    return good | changes


def allowing(config: Config, *patterns: str) -> Config:
    servers = config.servers.model_copy(update={"own_images": list(patterns), "registries": []})
    return config.model_copy(update={"servers": servers})


def test_a_good_image_that_is_here_starts_soon() -> None:
    here = "This image is on this service already (1011 MB)."
    for expected, said in (
        ("", "Nothing is to be downloaded."),
        ("Usually ready in about 4 s.", "Usually ready in about 4 s."),
    ):
        finding = preflight.of_local(IMAGE, local(), HERE, expected)
        assert finding == Finding("ok", f"{here} {said}", 1_060_000_000)


@pytest.mark.parametrize(
    ("found", "level", "words"),
    [
        (local(Architecture="arm64"), "refused", "of kind arm64; this service has amd64"),
        (local(Config={"Cmd": None}), "refused", "says no program to start"),
        (local(Config=None), "refused", "says no program to start"),
        (local(Config={"Cmd": ["x"], "Labels": None}), "warning", "not made from the base image"),
        (
            local(Config={"Cmd": ["x"], "Labels": {"quaderno.contract": ""}}),
            "warning",
            "not made from the base image",
        ),
        (
            local(Config={"Cmd": ["x"], "Labels": {"quaderno.contract": "99"}}),
            "refused",
            "another version of this service (99, where 1 is needed)",
        ),
    ],
)
def test_an_image_that_cannot_start_is_refused_and_an_unlike_one_is_not(
    found: dict[str, Any], level: str, words: str
) -> None:
    finding = preflight.of_local(IMAGE, found, HERE)
    assert finding.level == level
    assert words in finding.message
    assert bool(finding.cause) == (level == "refused")


@pytest.mark.parametrize(
    ("platforms", "level"),
    [
        (
            [{"os": "linux", "architecture": "arm64"}, {"os": "linux", "architecture": "amd64"}],
            "ok",
        ),
        ([{"os": "linux", "architecture": "arm64"}], "refused"),
        ([{"os": "windows", "architecture": "amd64"}], "refused"),
        ([{}], "ok"),
        (None, "ok"),
    ],
)
def test_an_image_at_its_registry_must_be_for_this_kind_of_processor(
    platforms: list[dict[str, str]] | None, level: str
) -> None:
    assert preflight.of_registry(IMAGE, {"Platforms": platforms}, HERE, "").level == level


@pytest.mark.parametrize(
    ("status", "message", "level"),
    [
        (404, "manifest unknown: manifest unknown", "refused"),
        (403, "denied: requested access to the resource is denied", "refused"),
        (500, "Get https://registry.example.org/v2/: dial tcp: i/o timeout", "warning"),
        (500, "toomanyrequests: rate limit", "warning"),
    ],
)
def test_only_what_a_later_try_cannot_change_is_refused(
    status: int, message: str, level: str
) -> None:
    finding = preflight.of_refusal(IMAGE, message, status)
    assert finding.level == level
    assert finding.message.endswith(".")
    assert "{" not in finding.message


def test_the_configuration_alone_decides_what_it_can(config: Config) -> None:
    assert preflight.allowed(config, "base") == preflight.CATALOGUE
    assert preflight.allowed(config, Servers().images[0].reference) == preflight.CATALOGUE
    malformed = preflight.allowed(config, "NOT an image!")
    assert malformed is not None
    assert (malformed.level, "is not an image" in malformed.message) == ("refused", True)
    forbidden = preflight.allowed(allowing(config, "lab/*"), IMAGE)
    assert forbidden is not None
    assert "is not allowed here" in forbidden.message
    assert preflight.allowed(config, IMAGE) is None


@pytest.mark.parametrize(
    ("reference", "registry"),
    [
        ("ubuntu", "docker.io"),
        ("group/lab:1", "docker.io"),
        ("index.docker.io/group/lab", "docker.io"),
        ("ghcr.io/group/lab", "ghcr.io"),
        ("localhost/lab", "localhost"),
        ("10.0.0.1:22/lab", "10.0.0.1:22"),
        ("host:22/lab", "host:22"),
        ("INTRANET/lab", "intranet"),
        ("GHCR.io/group/lab", "ghcr.io"),
    ],
)
def test_the_registry_is_the_one_that_the_engine_asks(reference: str, registry: str) -> None:
    assert preflight.registry_of(reference) == registry


@pytest.mark.parametrize(
    ("patterns", "reference", "asked"),
    [
        (["*"], "10.0.0.1:22/lab", False),
        (["*"], "INTRANET/lab", False),
        (["*.example.org/*"], "inside.example.org/lab", False),
        (["re[gq].example.org/*"], "reg.example.org/lab", False),
        (["registry.example.org:5000/*"], "registry.example.org:5000/lab", True),
        (["registry.example.org:5000/*"], "registry.example.org:22/lab", False),
        (["*"], "group/lab", True),  # Docker Hub, where the catalogue's image would be
    ],
)
def test_registries_that_the_operator_has_not_named_are_not_asked(
    config: Config, patterns: list[str], reference: str, asked: bool
) -> None:
    assert preflight.may_be_asked(allowing(config, *patterns), reference) is asked


def test_registries_of_the_setting_are_asked(config: Config) -> None:
    assert preflight.may_be_asked(config, "quay.io/group/lab")
    assert not preflight.may_be_asked(allowing(config, "*"), "quay.io/group/lab")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text() | st.just("image"), children),
    max_leaves=5,
)


@given(body=JSON)
def test_any_body_names_an_image_or_is_refused(body: Any) -> None:
    try:
        image = preflight.wanted(body)
    except OptionsError as refused:
        assert refused.message.startswith("The body must be")
    else:
        assert image == body["image"].strip()


@given(image=st.text() | st.from_regex(r"[a-zA-Z0-9.:/@-]{1,40}", fullmatch=True))
def test_any_reference_has_one_registry(image: str) -> None:
    registry = preflight.registry_of(image)
    assert registry == registry.lower()
    assert registry
    assert "/" not in registry


def test_a_registrys_word_counts_for_a_minute() -> None:
    now = 0.0
    recent = Recent(clock=lambda: now)
    recent.put(IMAGE, preflight.CATALOGUE)
    now = 59.0
    assert recent.get(IMAGE) == preflight.CATALOGUE
    now = 61.0
    assert recent.get(IMAGE) is None


def test_only_so_many_words_are_kept() -> None:
    recent = Recent(clock=lambda: 0.0)
    for number in range(600):
        recent.put(f"lab:{number}", preflight.CATALOGUE)
    assert recent.get("lab:0") is None
    assert recent.get("lab:599") == preflight.CATALOGUE
