"""The S3 keys of whoever looks, got from the hub with their own OAuth token; in memory only.

The page has no key of its own. Keys are renewed ahead of their end; while the hub is away, the old
ones serve as long as they live.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx

from quaderno.config import Config
from quaderno.files import problems
from quaderno.files.problems import PageError
from quaderno.files.store import Keys, Store

RENEW_BEFORE = 600  # seconds of life below which keys are renewed
_ASK_EVERY = 20  # seconds at least between two questions for one person, who may get short ones
_PATIENCE = 8  # seconds for the hub, which answers within five


@dataclass
class _Session:
    """What one OAuth token has got so far; `asked` is in monotonic seconds."""

    store: Store | None = None
    asked: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def left(self) -> float:
        """Seconds of life of the keys."""
        return self.store.keys.left() if self.store else 0


class Credentials:
    """People's stores by OAuth token, and by whether they come as guests; `now` is a monotonic
    clock in seconds."""

    def __init__(
        self, config: Config, hub: httpx.AsyncClient, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._config, self._hub, self._now = config, hub, now
        self._sessions: dict[tuple[str, bool], _Session] = {}

    async def store(
        self, username: str, token: str, life: float = RENEW_BEFORE, *, guest: bool = False
    ) -> Store:
        """The store as `username`, or as their `guest` of others, with keys that live for `life`
        seconds where that can be had.

        Raises PageError where there are no keys at all.
        """
        self._forget_ended()
        session = self._sessions.setdefault((token, guest), _Session())
        async with session.lock:
            lately = session.left() > 0 and self._now() - session.asked < _ASK_EVERY
            if session.left() < life and not lately:
                session.asked = self._now()
                await self._renew(session, username, token, guest=guest)
        if session.store is None or session.left() <= 0:
            raise problems.hub_away()
        return session.store

    async def quota(self, username: str, token: str) -> dict[str, Any] | None:
        """How much of their quota is used, as the hub tells it; None where it does not know."""
        try:
            answer = await self._hub.get(
                f"/quaderno/users/{username}/storage",
                headers={"Authorization": f"token {token}"},
                timeout=_PATIENCE,
            )
            found: dict[str, Any] | None = answer.raise_for_status().json().get("quota")
        except (httpx.HTTPError, ValueError):
            return None
        return found

    async def _renew(self, session: _Session, username: str, token: str, *, guest: bool) -> None:
        try:
            keys = await self._ask(username, token, {"as": "guest"} if guest else {})
        except PageError as problem:
            if session.left() <= 0 or problem.status == HTTPStatus.UNAUTHORIZED:
                raise
            return  # the old ones serve meanwhile
        session.store = Store(self._config, keys)

    async def _ask(self, username: str, token: str, how: dict[str, str]) -> Keys:
        try:
            answer = await self._hub.get(
                f"/quaderno/users/{username}/s3-keys",
                params=how,
                headers={"Authorization": f"token {token}"},
                timeout=_PATIENCE,
            )
            if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise problems.login_ended()
            return _keys(answer.raise_for_status().json())
        except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
            raise problems.hub_away() from error

    def _forget_ended(self) -> None:
        """Of tokens whose keys have ended; a busy one is in use."""
        ended = [
            which
            for which, session in self._sessions.items()
            if session.store and session.left() <= 0 and not session.lock.locked()
        ]
        for which in ended:
            del self._sessions[which]


def _keys(answer: dict[str, Any]) -> Keys:
    """From the form that AWS SDKs expect of a container credentials provider."""
    end = datetime.fromisoformat(answer["Expiration"]).astimezone(UTC)
    return Keys(
        str(answer["AccessKeyId"]),
        str(answer["SecretAccessKey"]),
        str(answer["Token"]),
        end - timedelta(seconds=1),  # the answer has travelled
    )
