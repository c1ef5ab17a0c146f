"""The container network `<instance>`, whose gateway is where people's servers find the service.

Each server has a bridge network of its own, so servers cannot reach each other. This one has no
containers: it exists for its gateway address, on which the edge listens for all of them, and which
stays the same while servers come and go.
"""

import ipaddress
import re
from typing import Any

from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from quaderno import host
from quaderno.config import Config
from quaderno.errors import HostError

LABEL = "quaderno.instance"
_BRIDGE = re.compile("br-[0-9a-f]{12}")  # the engine's interface of a network


def subnet(config: Config) -> ipaddress.IPv4Network:
    """The first /29 of `servers.network`."""
    return next(ipaddress.IPv4Network(config.servers.network).subnets(new_prefix=29))


def ensure(config: Config) -> None:
    """The network exists with the configured addresses; an unused one with others is replaced.

    Raises HostError when its addresses are taken.
    """
    with host.engine() as client:
        try:
            existing = client.inspect_network(config.instance)
        except NotFound:
            existing = None
        try:
            if existing and _subnets(existing) != [str(subnet(config))]:
                client.remove_network(existing["Id"])
                existing = None
            if not existing:
                client.create_network(config.instance, **_parameters(config))
        except APIError as error:
            raise HostError(
                f"the network {subnet(config)} cannot be created: {error.explanation}",
                "Choose another `servers.network` in quaderno.yaml",
            ) from error


def _parameters(config: Config) -> dict[str, Any]:
    pool = IPAMPool(subnet=str(subnet(config)), gateway=config.servers.gateway)
    return {
        "driver": "bridge",
        "labels": {LABEL: config.instance},
        "ipam": IPAMConfig(pool_configs=[pool]),
    }


def _subnets(inspected: dict[str, Any]) -> list[str]:
    return [pool["Subnet"] for pool in inspected["IPAM"]["Config"] or []]


def taken(instance: str | None = None) -> list[tuple[ipaddress.IPv4Network, str]]:
    """Networks in use on this machine and by whom, those of `instance` excepted.

    Routes of the host count, and networks of the engine where it answers. Its bridges outlive it:
    while it does not, any of them may be of `instance`; `ensure` says later if it is not.
    """
    routes = host.routes()
    try:
        with host.engine(timeout=10) as client:
            networks = client.networks()
        own = {f"br-{n['Id'][:12]}" for n in networks if (n["Labels"] or {}).get(LABEL) == instance}
    except HostError:
        networks = []
        own = {name for _, name in routes if instance and _BRIDGE.fullmatch(name)}
    found = [
        (ipaddress.IPv4Network(text), f"the container network {n['Name']}")
        for n in networks
        if f"br-{n['Id'][:12]}" not in own
        for text in _subnets(n)
        if ":" not in text
    ]
    return found + [(net, f"the interface {name}") for net, name in routes if name not in own]
