"""Whether the store here has what was written at the other site while this one was away.

A site that returns has files which it had not sent. Whether they were changed meanwhile at the
other site, and whether its lease has been taken there, its own store knows when it has caught up.
"""

import time
from functools import cache

import httpx

from quaderno.config import Config
from quaderno.storage import replication_lag

CAUGHT_UP = 10.0  # seconds; more often than that the other site says that there is nothing new
# Seconds without a word from the other site, until it is not waited for; its director may be on its
# way back.
SILENT_AFTER = 120.0
_PROGRESS = 1.0  # second; more than clocks differ between two answers
_WITHIN = 2.0  # seconds, on loopback


@cache
def replica(url: str) -> "Replica":
    """The one of this process, by what tells how far behind it is."""
    return Replica(url)


def of(config: Config) -> "Replica":
    """Of this site's store, which is one of two."""
    return replica(replication_lag.health_url(config))


class Replica:
    """A store that follows another; once it has caught up, or the other is silent, that is over."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, False
        self._heard_at, self._until = time.monotonic(), 0.0

    async def is_complete(self) -> bool:
        """Whether to go on with what is here."""
        if not self._over:
            behind, now = await self._ask(), time.monotonic()
            if behind is not None and time.time() - behind > self._until + _PROGRESS:
                self._heard_at, self._until = now, time.time() - behind
            self._over = is_complete(behind, now - self._heard_at)
        return self._over

    async def _ask(self) -> float | None:
        try:
            async with httpx.AsyncClient(timeout=_WITHIN, trust_env=False) as client:
                answer = await client.get(self._url)
                behind: float | None = answer.raise_for_status().json()["behind"]
        except (httpx.HTTPError, ValueError, KeyError):
            return None
        return behind


def is_complete(behind: float | None, silent: float) -> bool:
    """Whether to wait no more for a store that is `behind` the other (seconds; None: nothing was
    heard of that), when nothing new has come for `silent` seconds."""
    return silent >= SILENT_AFTER or (behind is not None and behind <= CAUGHT_UP)
