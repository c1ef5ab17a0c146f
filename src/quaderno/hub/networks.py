"""A bridge network for each server, so that no server reaches another.

The engine is the register of what is taken: it refuses a subnet that overlaps an existing one,
so no allocation can go stale and two hubs cannot collide.
"""

import ipaddress
from collections.abc import Iterable, Iterator

import docker
from docker.errors import APIError, NotFound

PREFIX = 29  # gateway, container, and room that Docker wants for nothing else


class PoolExhaustedError(Exception):
    """Every subnet of the pool is in use."""


def free_subnets(pool: str, taken: Iterable[str]) -> Iterator[str]:
    """Subnets of `pool` that overlap none of `taken`, in order.

    The first subnet of the pool is never among them: it carries the services' gateway.
    """
    used = [ipaddress.ip_network(subnet) for subnet in taken]
    candidates = ipaddress.IPv4Network(pool).subnets(new_prefix=PREFIX)
    next(candidates)
    for candidate in candidates:
        if not any(candidate.overlaps(network) for network in used if network.version == 4):
            yield str(candidate)


def ensure(client: docker.APIClient, name: str, pool: str, labels: dict[str, str]) -> None:
    """Make sure the bridge network `name` exists. Blocking.

    Raises PoolExhaustedError when the pool is used up, docker.errors.APIError for the engine's
    errors.
    """
    if client.networks(names=[f"^{name}$"]):
        return
    taken = [
        entry["Subnet"]
        for network in client.networks()
        for entry in network["IPAM"]["Config"] or []
        if "Subnet" in entry
    ]
    for subnet in free_subnets(pool, taken):
        ipam = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=subnet)])
        try:
            client.create_network(name, driver="bridge", ipam=ipam, labels=labels)
        except APIError as error:
            if "overlap" not in str(error.explanation).lower():
                raise
        else:
            return
    raise PoolExhaustedError(f"no free subnet is left in {pool}")


def remove(client: docker.APIClient, name: str) -> None:
    """Remove the network `name`; one that is gone already is fine. Blocking."""
    try:
        client.remove_network(name)
    except NotFound:
        return
