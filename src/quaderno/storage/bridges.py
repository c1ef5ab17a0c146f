"""The interfaces of servers' networks on this machine have no IPv6: each network's bridge, and the
ends of cables in it.

Those networks have IPv4 alone, and still the kernel gives each such interface an address of its
own (RFC 4862, 5.3), a second or two after a server has started. It would be a way around the rules
for what servers reach, and a browser on the same machine drops what it is loading when an address
comes or goes (Chromium: `ERR_NETWORK_CHANGED`). The engine cannot be told; it takes root to turn it
off, and somebody who is there whenever a server starts: so it is the node agent's.

Which networks are this instance's the engine knows, by their label; those of others keep what they
have, wherever their addresses lie.
"""

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
from docker import APIClient
from docker.errors import DockerException
from docker.utils import kwargs_from_env

from quaderno.config import Config
from quaderno.storage.unrepeated import REPEATED

LOG = logging.getLogger("quaderno.agent")
LABEL = "quaderno.instance"  # of the networks
ASK_WITHIN, ASK_AGAIN = 10, 5.0  # seconds that the engine has to answer, and after it has not
_NAME = "com.docker.network.bridge.name"  # where a network has chosen it
_LINKS, _IPV4_ADDRESSES = 0x1, 0x10  # groups of news (rtnetlink(7))
_ENOUGH = 1 << 16  # bytes
_SETTINGS = Path("/proc/sys/net/ipv6/conf")
_OFF = "1"


@contextmanager
def without_ipv6(config: Config) -> Iterator[None]:
    """In the running event loop, whenever interfaces change. The news are not read: they may be
    lost, and to look at the interfaces takes a millisecond. Raises OSError."""
    loop, changed = asyncio.get_running_loop(), asyncio.Event()
    kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as news:
        news.bind((0, _LINKS | _IPV4_ADDRESSES))

        def note() -> None:
            with contextlib.suppress(OSError):  # there are no more, or so many that some are lost
                while news.recv(_ENOUGH):
                    pass
            changed.set()

        loop.add_reader(news, note)
        changed.set()
        keeping = asyncio.create_task(_keep_off(config, changed), name="bridges")
        try:
            yield
        finally:
            keeping.cancel()
            loop.remove_reader(news)


async def _keep_off(config: Config, changed: asyncio.Event) -> None:
    """The engine is asked when there is a bridge in the pool that is not known to be our own: it
    may be a network that is being made, of which the engine does not tell yet."""
    own: set[str] = set()
    pool = ipaddress.IPv4Network(config.servers.network)
    while True:
        await changed.wait()
        changed.clear()
        here = _in(pool)
        switch_off(here & own)
        if not here <= own:
            try:
                own = await asyncio.to_thread(own_bridges, config.instance)
            except (DockerException, OSError) as error:
                LOG.warning("Networks may keep IPv6: the engine says %s", error, extra=REPEATED)
                asyncio.get_running_loop().call_later(ASK_AGAIN, changed.set)
            switch_off(here & own)


def own_bridges(instance: str) -> set[str]:
    """Of the networks that are labelled as this instance's. Blocking.

    Raises DockerException and OSError when the engine does not answer.
    """
    environment = kwargs_from_env()
    with closing(APIClient(version="auto", timeout=ASK_WITHIN, **environment)) as engine:
        networks = engine.networks(filters={"label": f"{LABEL}={instance}"})
    return {(each["Options"] or {}).get(_NAME) or f"br-{each['Id'][:12]}" for each in networks}


def switch_off(bridges: Iterable[str]) -> None:
    """On these, and on what is plugged into them."""
    for bridge in bridges:
        ports = Path("/sys/class/net", bridge, "brif")
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile, or no bridge
            for name in [bridge, *(port.name for port in ports.iterdir())]:
                _switch_off(name)


def _in(pool: ipaddress.IPv4Network) -> set[str]:
    return {
        name
        for name, addresses in psutil.net_if_addrs().items()
        if any(
            each.family == socket.AF_INET and ipaddress.IPv4Address(each.address) in pool
            for each in addresses
        )
    }


def _switch_off(interface: str) -> None:
    setting = _SETTINGS / interface / "disable_ipv6"
    try:
        if setting.read_text().strip() != _OFF:
            setting.write_text(_OFF)
    except FileNotFoundError:
        pass  # gone meanwhile, or a kernel without IPv6
    except OSError as error:
        LOG.warning("%s keeps IPv6: %s", interface, error, extra=REPEATED)
