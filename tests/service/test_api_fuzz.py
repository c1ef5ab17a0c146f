"""Whatever is sent as server options, by the API or the form: refused in a sentence, or allowed."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from quaderno import config as quaderno_config
from quaderno.hub import options
from tests.service import http_person
from tests.service.running import Hub, Service, wait_for

# Somebody of their own: none of it is to be what others' servers start with.
WHO, PASSWORD = "fay", "anything-at-all-1977"
GIB = 2**30
CHOICES: dict[str, Any] = {
    "own_images": ["registry.invalid/ours/*"],
    "cpu": {"default": 0.5, "choices": [0.5, 1]},
    "memory": {"default": "1G", "choices": ["1G", "2G"]},
}
fuzz = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
# Like what is allowed, a little beyond, or anything.
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["base", "BASE", "debian:bookworm-slim", "--privileged"]) | JSON,
        "cpu": st.floats(0.4, 1.2) | st.sampled_from(["1", "0x1", "\u0661", "1e0", "inf"]) | JSON,
        "memory": st.integers(GIB - 1, 2 * GIB + 1) | st.sampled_from(["1G", "3G", "-1G"]) | JSON,
        "gpu": st.integers(-1, 2) | JSON,
        "wait": JSON,
    },
)
MORE = st.dictionaries(st.sampled_from(options.KEYS) | st.text(), JSON, max_size=3)
BODY = (
    OPTIONS
    | MORE
    | st.builds(lambda chosen, name: {"user_options": chosen, "display_name": name}, OPTIONS, JSON)
    | JSON
)
NAME = st.sampled_from(["", "big", "big"]) | st.text(min_size=1).filter(
    lambda name: name not in (".", "..")  # which no client sends
)


@pytest.fixture(scope="module")
def fay(service: Service) -> Iterator[httpx.Client]:
    """At a browser, who has one image to choose and little else, so that most is not allowed."""
    service.register(WHO, PASSWORD)
    file = service.config.dir / quaderno_config.CONFIG_FILE
    before = file.read_text()
    changed = yaml.safe_load(before)
    changed["servers"] |= CHOICES
    file.write_text(yaml.safe_dump(changed))
    try:
        service.quaderno("up", "--detach")
        with http_person.logged_in(service, WHO, PASSWORD) as client:
            yield client
    finally:
        file.write_text(before)
        service.quaderno("up", "--detach")


def allowed_and_stopped(service: Service, hub: Hub, name: str) -> None:
    """What has started is of the catalogue, within the limits, and closed off; it ends."""
    event("started")
    wait_for(lambda: hub.servers(WHO)[name]["ready"], 180, "the server")
    attributes = service.container(WHO, name).attrs
    limits = attributes["HostConfig"]
    assert attributes["Config"]["Image"] == service.config.servers.images[0].reference
    assert 0.5 <= limits["CpuQuota"] / limits["CpuPeriod"] <= 1
    assert GIB <= limits["Memory"] <= 2 * GIB
    assert not limits["Privileged"]
    assert hub.request("DELETE", address(name)).status_code in (202, 204)
    wait_for(lambda: not running(hub), 180, "the end")


def address(name: str) -> str:
    return f"/users/{WHO}/servers/{quote(name, safe='')}" if name else f"/users/{WHO}/server"


def running(hub: Hub) -> list[str]:
    """Names of servers that run, start or stop."""
    return [name for name, one in hub.servers(WHO).items() if one["ready"] or one["pending"]]


def refused_in_a_sentence(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    message = answer.json()["message"]
    assert isinstance(message, str)
    assert message.strip(), answer.text


@pytest.mark.usefixtures("fay")
@fuzz
@given(name=NAME, body=BODY.map(json.dumps).map(str.encode) | st.binary())
@example("", b"[" * 100_000)
@example("", b'{"cpu": 1' + b"0" * 5000 + b"}")
@example("", b'{"display_name": "\\ud800", "user_options": {"image": "\\ud800"}}')
@example("big", b'{"display_name": "\\ud800"}')
@example("big", b'{"cpu": 0.5, "memory": "2G", "wait": true}')
def test_any_body_is_refused_in_a_sentence_or_allowed(
    service: Service, hub: Hub, name: str, body: bytes
) -> None:
    answer = hub.request("POST", address(name), content=body)
    if answer.is_success:
        allowed_and_stopped(service, hub, name)
    else:
        refused_in_a_sentence(answer)
        assert running(hub) == []


@pytest.mark.usefixtures("fay")
@fuzz
@given(
    method=st.sampled_from(["PUT", "PATCH"]),
    name=NAME,
    body=st.dictionaries(st.sampled_from(["name", "display_name", "user_options"]), JSON) | BODY,
)
@example("PATCH", "big", [1])
@example("PATCH", "big", {"name": 1})
@example("PATCH", "big", {"disk": 1})
@example("PUT", "big", {"display_name": "\ud800"})
def test_any_change_of_a_server_is_made_or_refused_in_a_sentence(
    hub: Hub, method: str, name: str, body: Any
) -> None:
    """It is the next start that reads the options."""
    answer = hub.request(method, address(name), content=json.dumps(body).encode())
    if not answer.is_success:
        refused_in_a_sentence(answer)
    assert running(hub) == []


@fuzz
@given(fields=st.dictionaries(st.sampled_from((*options.KEYS, "own_image")) | st.text(), st.text()))
@example({"cpu": "1", "memory": "2G"})
@example({"own_image": "registry.example/other/image:1"})
def test_any_form_is_refused_in_a_sentence_or_allowed(
    service: Service, hub: Hub, fay: httpx.Client, fields: dict[str, str]
) -> None:
    page = fay.get(f"{service.config.public_url}/hub/spawn")
    answer = http_person.submit(fay, page, "own_image", **fields)
    assert answer.status_code < 500, answer.text
    if running(hub):
        allowed_and_stopped(service, hub, "")
    else:
        assert 'role="alert"' in answer.text
