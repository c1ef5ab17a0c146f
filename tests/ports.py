"""Ports for what a test starts."""

import os
import random
import socket
import tempfile
from pathlib import Path

from quaderno.config import Ports

# Up to net.ipv4.ip_local_port_range: from there on, while something is stopped to be started again,
# somebody's outgoing connection may have been given its port.
_FIRST, _END = 20_000, 32_768
# Each of pytest-xdist's workers has a share: a port is taken some time after it was seen free.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_SHARE = (_END - _FIRST) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


def free_ports(count: int = len(Ports.model_fields)) -> int:
    """The first of `count` consecutive ports that are free now."""
    left = _left_by_seaweedfs()
    firsts = list(range(_FIRST, _END - count))
    random.shuffle(firsts)
    for first in firsts:
        ports = range(first, first + count)
        if left.isdisjoint(ports) and all(_is_free(port) for port in ports):
            return first
    raise AssertionError(
        f"no {count} consecutive ports are free; delete what is left of killed stores:"
        f" {tempfile.gettempdir()}/seaweedfs-*.sock"
    )


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
