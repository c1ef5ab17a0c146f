"""Whoever has a running server is asked about while nobody looks, too.

JupyterHub asks the provider who somebody is when they do something. Of a person who was removed
there nothing may come any more, and their servers would run on. So everybody who has one is asked
about every `oidc.recheck` seconds. Who is not admitted has `oidc.removal_grace` seconds to log in
again, if that is all there is to it; then their servers are stopped as at any stop: what exists
only in them is copied, and the agent uploads the rest. A provider that does not answer means that
nothing is known: nothing is stopped.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from quaderno.config.sections import Oidc

_STEP = 60.0  # seconds between two looks, at most

Stop = Callable[[Any, str], Awaitable[None]]


class Admission:
    """Keeps when each was asked about, and since when somebody is not admitted."""

    def __init__(
        self, oidc: Oidc, users: Mapping[Any, Any], refresh: Callable[[Any], Awaitable[Any]],
        stop: Stop, log: Any,
    ) -> None:  # fmt: skip
        """`users` are JupyterHub's; `refresh` is its authenticator's; `stop` ends one server."""
        self._oidc, self._users, self._refresh, self._stop = oidc, users, refresh, stop
        self.log = log
        self._asked: dict[str, float] = {}
        self._refused: dict[str, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(min(_STEP, self._oidc.recheck / 2))
            await self.once()

    async def once(self) -> None:
        """One look at everybody who has a server that runs."""
        there = {user.name: user for user in self._users.values() if user.active}
        self._asked = {name: at for name, at in self._asked.items() if name in there}
        self._refused = {name: at for name, at in self._refused.items() if name in there}
        for name, user in there.items():
            now = time.monotonic()
            refused = name in self._refused
            if refused or now - self._asked.get(name, float("-inf")) >= self._oidc.recheck:
                self._asked[name] = now
                await self._look_without_fail(user)

    async def _look_without_fail(self, user: Any) -> None:
        """What goes wrong with one is no reason to spare the others."""
        try:
            await self._look_at(user)
        except Exception:
            self.log.exception("%s could not be looked after; another look follows", user.name)

    async def _look_at(self, user: Any) -> None:
        if await self._refresh(user):
            if self._refused.pop(user.name, None) is not None:
                self.log.info("%s is admitted again", user.name)
            return
        if user.name not in self._refused:
            grace = self._oidc.removal_grace
            self.log.warning("%s is not admitted: servers are stopped in %d s", user.name, grace)
        since = self._refused.setdefault(user.name, time.monotonic())
        if time.monotonic() - since >= self._oidc.removal_grace:
            for server in [name for name, spawner in user.spawners.items() if spawner.ready]:
                self.log.warning("Stopping a server of %s, who is not admitted", user.name)
                await self._stop(user, server)
