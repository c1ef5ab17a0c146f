"""Whose networks are whose, while the container engine does not run."""

import ipaddress
from typing import Any

import pytest

from quaderno import host, network
from quaderno.errors import HostError

BRIDGE = ipaddress.IPv4Network("10.213.0.0/29")
OFFICE = ipaddress.IPv4Network("192.0.2.0/24")


@pytest.fixture(autouse=True)
def engine_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(**_: Any) -> Any:
        raise HostError("The engine does not run", "Start it")

    monkeypatch.setattr(host, "engine", engine)
    routes = [(BRIDGE, "br-adfc47c48de1"), (OFFICE, "br-office")]
    monkeypatch.setattr(host, "routes", lambda: routes)


def test_bridges_that_a_stopped_engine_left_may_be_ones_own() -> None:
    assert network.taken("q1") == [(OFFICE, "the interface br-office")]


def test_a_new_instance_keeps_clear_of_them() -> None:
    assert [found for found, _ in network.taken()] == [BRIDGE, OFFICE]
