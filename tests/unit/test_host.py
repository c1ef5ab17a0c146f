"""What the machine's own tables say."""

import ipaddress
import sys
from pathlib import Path

import pytest

from quaderno import host
from quaderno.errors import HostError

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the table above is of such a machine")
def test_routes_without_the_default() -> None:
    assert host.routes(ROUTES) == [
        (ipaddress.IPv4Network("172.17.0.0/16"), "docker0"),
        (ipaddress.IPv4Network("192.0.2.0/24"), "eth0"),
    ]


def test_routes_of_this_machine_can_be_read() -> None:
    assert all(network.prefixlen for network, _ in host.routes())


def test_directories_that_others_cannot_pass(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "below").mkdir(parents=True)
    closed.chmod(0o700)
    first = host.reachable_by_others(closed / "below" / "not-there")
    assert first in (closed, *closed.parents)
    assert host.reachable_by_others(Path("/usr/bin")) is None


def test_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert not host.engine_answers()
    with pytest.raises(HostError, match="DOCKER_HOST does not answer"):
        host.ensure_engine(tmp_path / "log", print)
