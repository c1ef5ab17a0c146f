"""Ports and networks for what a test starts: each is taken some time after it was seen free."""

import ipaddress
import os
import random
import socket
import tempfile
from pathlib import Path

from quaderno import init, network
from quaderno.config import Ports

# Up to net.ipv4.ip_local_port_range: from there on, while something is stopped to be started again,
# somebody's outgoing connection may have been given its port.
_FIRST, _END = 20_000, 32_768
# Each of pytest-xdist's workers has a share of both.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SHARE = (_END - _FIRST) // _WORKERS
_POOL = ipaddress.IPv4Network("10.213.0.0/16")  # where new instances look first
_given: set[int] = set()  # ports, to what may be stopped now and is started again


def free_ports(count: int = len(Ports.model_fields)) -> int:
    """The first of `count` consecutive ports that are free now; as long as there are such, of ones
    that nobody here was given before."""
    left, start = _left_by_seaweedfs(), _FIRST + _WORKER * _SHARE
    firsts = list(range(start, start + _SHARE - count))
    random.shuffle(firsts)
    firsts.sort(key=lambda first: not _given.isdisjoint(range(first, first + count)))
    for first in firsts:
        ports = range(first, first + count)
        if left.isdisjoint(ports) and all(_is_free(port) for port in ports):
            _given.update(ports)
            return first
    raise AssertionError(
        f"no {count} consecutive ports are free; delete what is left of killed stores:"
        f" {tempfile.gettempdir()}/seaweedfs-*.sock"
    )


def free_network() -> str:
    """For people's servers: what `quaderno init` chooses for a machine on which the addresses of
    other workers are in use."""
    mine = set(list(_POOL.subnets(new_prefix=20))[_WORKER::_WORKERS])
    others = [each for each in _POOL.subnets(new_prefix=20) if each not in mine]
    return init.free_network([*others, *(found for found, _ in network.taken())])


def _left_by_seaweedfs() -> set[int]:
    """It takes a socket of a port's name for its own, also one that a killed one of root's left."""
    found = Path(tempfile.gettempdir()).glob("seaweedfs-*-*.sock")
    return {int(number) for each in found if (number := each.stem.rpartition("-")[2]).isdigit()}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
