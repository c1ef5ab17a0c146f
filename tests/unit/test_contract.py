"""What is said of an image, point by point, and that the base image keeps what it promises."""

import re
from pathlib import Path
from typing import Any

import pytest

from quaderno import contract, trial
from quaderno.contract import Observed, Point
from quaderno.images import build

HUB = "6.1.1"
GOOD: dict[str, Any] = {
    "Architecture": "amd64",
    "Size": 10**9,
    "Config": {"Labels": {contract.LABEL: contract.VERSION}, "Cmd": ["x"], "User": "jovyan"},
}
RUNS = Observed(waited=1.0, status=200, open_status=403, jupyterhub=HUB)


def levels(points: list[Point]) -> dict[str, str]:
    return {point.id: point.level for point in points if point.level != "ok"}


def changed(**config: Any) -> dict[str, Any]:
    return {**GOOD, "Config": {**GOOD["Config"], **config}}


def test_a_good_image_keeps_every_point() -> None:
    points = contract.of_image(GOOD, "amd64") + contract.of_server(RUNS, HUB)
    assert levels(points) == {}
    assert contract.kept(points)
    assert len({point.id for point in points}) == len(points)


@pytest.mark.parametrize(
    ("attributes", "wrong", "found"),
    [
        ({**GOOD, "Architecture": "arm64"}, {"architecture": "error"}, "for arm64"),
        ({**GOOD, "Size": 20 * 2**30}, {"size": "warning"}, "20 GB, more than 10 GB"),
        (changed(Labels=None), {"contract": "warning"}, "not made from the base image"),
        (changed(Labels={contract.LABEL: "2"}), {"contract": "error"}, "version 2, but"),
        (changed(Cmd=None), {"command": "error"}, "no program"),
        (changed(User=""), {"user": "warning"}, "for root"),
        (changed(User="0:100"), {"user": "warning"}, "for root"),
    ],
)
def test_an_image_says_what_is_wrong_with_it(
    attributes: dict[str, Any], wrong: dict[str, str], found: str
) -> None:
    points = contract.of_image(attributes, "amd64")
    assert levels(points) == wrong
    (point,) = (point for point in points if point.level != "ok")
    assert found in point.found
    assert point.hint


@pytest.mark.parametrize(
    ("seen", "wrong", "found"),
    [
        (Observed(refused="no such program"), {"start": "error"}, "no such program"),
        (Observed(ended=1, last_line="why"), {"start": "error"}, "ended with code 1: why"),
        (Observed(ended=0), {"start": "error"}, "without a word"),
        (Observed(ended=137, out_of_memory=True), {"start": "error"}, "more memory"),
        (Observed(listening=frozenset({80})), {"port": "error"}, "listens on port 80"),
        (Observed(inside=frozenset({8888})), {"port": "error"}, "on 127.0.0.1 only, on port 8888"),
        (Observed(), {"port": "error"}, "nothing listens"),
        (Observed(status=404), {"start": "error"}, "answers 404"),
        (Observed(status=200, open_status=200), {"login": "error", "jupyterhub": "error"}, "body"),
        (
            Observed(status=200, open_status=403, jupyterhub="4.1.6"),
            {"jupyterhub": "warning"},
            "4.1.6",
        ),
        (
            Observed(status=200, jupyterhub=HUB, unwritable=("/workarea",)),
            {"directories": "warning"},
            "write to /workarea",
        ),
        (
            Observed(status=200, jupyterhub=HUB, unwritable=None),
            {"directories": "warning"},
            "no shell",
        ),
        (
            Observed(status=200, jupyterhub=HUB, has_server_package=False),
            {"quaderno-server": "warning"},
            "no S3 keys",
        ),
    ],
)
def test_a_server_shows_what_is_wrong_with_it(
    seen: Observed, wrong: dict[str, str], found: str
) -> None:
    points = contract.of_server(seen, HUB)
    assert levels(points) == wrong
    bad = [point for point in points if point.level != "ok"]
    assert found in bad[0].found
    assert all(point.hint for point in bad)


def test_the_base_image_promises_this_contract() -> None:
    dockerfile = Path(build.__file__).with_name("base").joinpath("Dockerfile").read_text()
    assert f"{contract.LABEL}={contract.VERSION} " in dockerfile
    assert f"EXPOSE {contract.PORT}" in dockerfile
    assert f'CMD ["{contract.PROGRAM}"]' in dockerfile
    assert re.search(rf"^ENV HOME={contract.HOME} ", dockerfile, re.MULTILINE)
    assert f"WORKDIR {contract.WORKAREA}" in dockerfile


def test_ports_that_others_reach() -> None:
    """As Linux shows them on a little-endian machine: any address, loopback, the engine's DNS."""
    table = "  sl  local_address rem_address   st\n"
    rows = [
        ("00000000:22B8", "0A"),
        ("0100007F:1F90", "0A"),
        ("0B00007F:9C41", "0A"),
        ("020012AC:1F91", "01"),
        ("00000000000000000000000000000000:0050", "0A"),
        ("00000000000000000000000001000000:0051", "0A"),
        ("0000000000000000FFFF00000100007F:0052", "0A"),
    ]
    table += "".join(
        f"   {i}: {local} 00000000:0000 {state}\n" for i, (local, state) in enumerate(rows)
    )
    reached, inside = trial.listening_ports(table)
    assert reached == {8888, 80}
    assert inside == {8080, 81, 82}
