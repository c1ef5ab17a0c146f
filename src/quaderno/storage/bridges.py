"""The interfaces of servers' networks on this machine have no IPv6: each network's bridge, and the
ends of cables in it.

Those networks have IPv4 alone, and still the kernel gives each such interface an address of its
own (RFC 4862, 5.3), a second or two after a server has started. It would be a way around the rules
for what servers reach, and a browser on the same machine drops what it is loading when an address
comes or goes (Chromium: `ERR_NETWORK_CHANGED`). The engine cannot be told; it takes root to turn it
off, and somebody who is there whenever a server starts: so it is the node agent's.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from quaderno.config import Config
from quaderno.storage.unrepeated import REPEATED

LOG = logging.getLogger("quaderno.agent")
_LINKS, _IPV4_ADDRESSES = 0x1, 0x10  # groups of news (rtnetlink(7))
_ENOUGH = 1 << 16  # bytes
_SETTINGS = Path("/proc/sys/net/ipv6/conf")
_OFF = "1"


@contextmanager
def without_ipv6(config: Config) -> Iterator[None]:
    """In the running event loop, whenever interfaces change. The news are not read: they may be
    lost, and to look at the interfaces takes a millisecond. Raises OSError."""
    loop, pool = asyncio.get_running_loop(), ipaddress.IPv4Network(config.servers.network)
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as news:
        news.bind((0, _LINKS | _IPV4_ADDRESSES))

        def look() -> None:
            with contextlib.suppress(OSError):  # there are no more, or so many that some are lost
                while news.recv(_ENOUGH):
                    pass
            switch_off(pool)

        switch_off(pool)
        loop.add_reader(news, look)
        try:
            yield
        finally:
            loop.remove_reader(news)


def switch_off(pool: ipaddress.IPv4Network) -> None:
    """On every interface that has an address in `pool`, and on those that it is a bridge of."""
    for bridge in _in(pool):
        ports = Path("/sys/class/net", bridge, "brif")
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile, or no bridge
            for name in [bridge, *(port.name for port in ports.iterdir())]:
                _switch_off(name)


def _in(pool: ipaddress.IPv4Network) -> list[str]:
    return [
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(
            each.family == socket.AF_INET and ipaddress.IPv4Address(each.address) in pool
            for each in addresses
        )
    ]


def _switch_off(interface: str) -> None:
    setting = _SETTINGS / interface / "disable_ipv6"
    try:
        if setting.read_text().strip() != _OFF:
            setting.write_text(_OFF)
    except FileNotFoundError:
        pass  # gone meanwhile, or a kernel without IPv6
    except OSError as error:
        LOG.warning("%s keeps IPv6: %s", interface, error, extra=REPEATED)
