"""What engine and agent have of people's servers, against what the hub knows of them.

Why: a stop that the engine did not answer, a hub that was killed in the middle, a database that was
restored from a backup leave containers, networks and uses of mounts that nobody would ever end. The
hub compares at its start and every minute; what no server of its own has to do with in two looks in
a row is ended: files that exist only in a container are copied, then it is removed, then its
network, and the agent is told, which uploads the rest. It is two minutes behind at most.

What starts, stops or is being checked counts as the hub's own. An engine or agent that does not
answer means unknown: nothing is ended on account of what it said before. What the hub's database
says of running servers is JupyterHub's affair: it checks and adopts them when it starts, and asks
the spawner's `poll` all the time.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import docker
from docker.utils import kwargs_from_env

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.hub import leaving, networks
from quaderno.hub.agent_client import shared
from quaderno.hub.inside import ENGINE_ERRORS

EVERY = 60.0  # seconds
_WITHIN = 10.0  # seconds, for the agent's answer

Owner = tuple[str, str]  # a person, and the name of their server


@dataclass(frozen=True, order=True)
class Thing:
    """Something that was made for a server. They are ended in this order."""

    kind: Literal["1 container", "2 network", "3 mounts"]
    owner: Owner
    id: str


class Reconciler:
    """Looks again and again; keeps what it found without an owner, to be sure the next time."""

    def __init__(self, config: Config, users: Mapping[Any, Any], log: Any) -> None:
        """`users` are JupyterHub's: all who have servers."""
        self._config = config
        self._users = users
        self.log = log
        self._suspects: frozenset[Thing] = frozenset()

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.once()
            except Exception:
                self.log.exception("The comparison with the engine failed; another follows")
            await asyncio.sleep(EVERY)

    async def once(self) -> None:
        """One look, and the end of what had no owner in the last one, either."""
        suspects, self._suspects = self._suspects, frozenset()
        try:
            found = [
                *await asyncio.to_thread(_at_engine, self._config.instance),
                *await self._agent(),
            ]
            owners = self._owners()
            self._suspects = frozenset(thing for thing in found if thing.owner not in owners)
            for thing in sorted(self._suspects & suspects):
                if thing.owner not in self._owners():  # a start may have begun meanwhile
                    await self._end(thing)
        except (*ENGINE_ERRORS, StorageError) as error:
            self.log.warning("What there is of servers is not known now: %s", error)

    def _owners(self) -> set[Owner]:
        return {
            (user.name, name)
            for user in self._users.values()
            for name, spawner in user.spawners.items()
            if spawner.active
        }

    async def _agent(self) -> list[Thing]:
        """Uses of mounts. Raises StorageError."""
        users = await shared(self._config.agent_socket).users(_WITHIN)
        return [
            Thing("3 mounts", (user["user"], server), server)
            for user in users
            for server in user["servers"]
        ]

    async def _end(self, thing: Thing) -> None:
        who, server = thing.owner
        self.log.warning("Ending a %s that no server of %s uses", thing.kind[2:], who)
        if thing.kind == "1 container":
            most = self._config.servers.saved_size
            if said := await asyncio.to_thread(_end_container, thing.id, most):
                self.log.warning("%s", said)
        elif thing.kind == "2 network":
            await asyncio.to_thread(_remove_network, thing.id)
        else:
            await shared(self._config.agent_socket).release(who, server)


def _client() -> docker.APIClient:
    return docker.APIClient(**kwargs_from_env())


def _at_engine(instance: str) -> list[Thing]:
    """Containers, running or not, and networks. Blocking; raises one of ENGINE_ERRORS."""
    labels = {"label": [f"quaderno.instance={instance}", "quaderno.user"]}
    with _client() as client:
        containers = client.containers(all=True, filters=labels)
        found = client.networks(filters=labels)
    return [Thing("1 container", _owner(one["Labels"]), one["Id"]) for one in containers] + [
        Thing("2 network", _owner(one["Labels"]), one["Id"]) for one in found
    ]


def _owner(labels: dict[str, str]) -> Owner:
    return labels["quaderno.user"], labels.get("quaderno.server", "")


def _end_container(container: str, most: int) -> str:
    with _client() as client:
        return leaving.end(client, container, most)


def _remove_network(network: str) -> None:
    with _client() as client:
        networks.remove(client, network)
