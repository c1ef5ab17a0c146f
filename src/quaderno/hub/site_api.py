"""What other sites, and `quaderno site`, ask this one: `/hub/api/quaderno/site`.

Whoever shows the sites' secret is answered, so these handlers know no people and no cookies.
"""

import asyncio
import secrets
from collections.abc import Mapping
from datetime import UTC
from http import HTTPStatus
from typing import Any

import httpx
from jupyterhub import orm
from tornado import web

from quaderno.config import Config
from quaderno.hub import capacity, options
from quaderno.hub.capacity import Amount, Machine
from quaderno.hub.readiness import Readiness
from quaderno.hub.standing import Standing, Stay
from quaderno.storage import replication_lag

_WITHIN = 0.5  # seconds, on this machine: who asks waits for a second in all
_LONGEST = 512  # characters of an option, as of an image's reference
_SCHEME = "Bearer "  # RFC 6750


class Here:
    """This site, as the hub's database and machine show it."""

    def __init__(self, config: Config, readiness: Readiness) -> None:
        self.config = config
        self.readiness = readiness
        self._machine = Machine()
        self._looking: asyncio.Task[None] | None = None

    async def standing(self, db: Any, username: str = "") -> Standing:
        """How this site is, and the stay of `username` here. What the engine or the store says
        late counts the next time: where somebody's server runs must be told in time."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="standing")
        _, behind = await asyncio.gather(
            asyncio.wait([self._looking], timeout=_WITHIN), self._behind()
        )
        has = self._machine.has or Amount(0, 0)
        free = has - capacity.taken(self.config, _running_options(db))
        return Standing(
            name=self.config.sites.name or "",
            problems=self.readiness.known,
            cpu=free.cpu,
            memory=free.memory,
            behind=behind,
            stay=stays(db, username).get(username) if username else None,
        )

    async def _look(self) -> None:
        await self.readiness.problems()
        if self.readiness.client:
            await self._machine.look(self.readiness.client)

    async def _behind(self) -> float | None:
        if not self.config.sites.replicated:
            return None
        try:
            async with asyncio.timeout(_WITHIN), httpx.AsyncClient(trust_env=False) as client:
                answer = await client.get(replication_lag.health_url(self.config))
                found: float | None = answer.json()["behind"]
        except (TimeoutError, httpx.HTTPError, ValueError, KeyError):
            return None
        return found


def stays(db: Any, username: str = "") -> dict[str, Stay]:
    """Everybody who has started a server here, or `username` alone. A server that is starting is
    one that runs; of several, the one used last counts for the rest."""
    columns = (orm.User.name, orm.Spawner.server_id, orm.Spawner.last_activity)
    query = db.query(*columns, orm.Spawner.user_options).join(orm.Spawner.user)
    query = query.filter(orm.Spawner.last_activity.isnot(None))
    if username:
        query = query.filter(orm.User.name == username)
    found: dict[str, Stay] = {}
    for name, server, last, asked in query.order_by(orm.Spawner.last_activity).all():
        running = server is not None or (name in found and found[name].running)
        found[name] = Stay(running=running, at=_seconds(last), options=_telling(asked or {}))
    return found


def _telling(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Of what somebody asked for, what a form elsewhere may repeat. JupyterHub keeps whatever they
    sent, which may be of any size, and nothing that other sites can read."""
    known = {key: asked[key] for key in options.KEYS if key in asked}
    return {key: value for key, value in known.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    text = str(value) if isinstance(value, str | int | float) else ""
    return 0 < len(text) <= _LONGEST and text.isprintable()


def _running_options(db: Any) -> list[dict[str, Any]]:
    running = orm.Spawner.server_id.isnot(None)
    return [asked or {} for (asked,) in db.query(orm.Spawner.user_options).filter(running).all()]


def _seconds(last: Any) -> float:
    """JupyterHub keeps UTC without saying so."""
    return float(last.replace(tzinfo=UTC).timestamp())


class SiteHandler(web.RequestHandler):
    """`GET`: how this site is, with `?user=` the stay of that person, too."""

    def initialize(self, here: Here) -> None:
        self._here = here

    def prepare(self) -> None:
        """Raises HTTP 403 for who does not have the secret."""
        shown = self.request.headers.get("Authorization", "")
        secret = self._here.config.sites.secret.get_secret_value()
        # Compared in constant time, and as bytes: `shown` may be anything.
        if not secret or not secrets.compare_digest(shown.encode(), f"{_SCHEME}{secret}".encode()):
            raise web.HTTPError(HTTPStatus.FORBIDDEN)

    def check_xsrf_cookie(self) -> None:
        """No cookie opens these."""

    async def get(self) -> None:
        standing = await self._here.standing(self.settings["db"], self.get_argument("user", ""))
        self.set_header("Cache-Control", "no-store")
        self.write(standing.model_dump())


class DrainHandler(SiteHandler):
    """`PUT` has no new visitors led here, `DELETE` ends that; both answer as `GET` does."""

    async def put(self) -> None:
        await self._drain(True)

    async def delete(self) -> None:
        await self._drain(False)

    async def _drain(self, wanted: bool) -> None:
        self._here.readiness.drain(wanted)
        await self.get()


class PeopleHandler(SiteHandler):
    """`GET`: everybody's last stay here, for the other sites to remember."""

    async def get(self) -> None:
        found = stays(self.settings["db"])
        self.write({"people": {name: stay.model_dump() for name, stay in found.items()}})


def handlers(here: Here) -> list[tuple[Any, ...]]:
    """For the hub of one of several sites."""
    kwargs = {"here": here}
    return [
        (r"/api/quaderno/site", SiteHandler, kwargs),
        (r"/api/quaderno/site/draining", DrainHandler, kwargs),
        (r"/api/quaderno/site/people", PeopleHandler, kwargs),
    ]
