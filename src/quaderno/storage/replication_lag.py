"""How far this store is behind the other site's, and who is told: operators, sites, Prometheus.

SeaweedFS says up to what time of the other store's clock everything has come, for as long as its
program runs; where it has to be started again and again, because the other site is away, the last
word of the one before is what counts. So it is looked at all the time, and remembered.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from quaderno.config import Config

WARN_AFTER = 60.0  # seconds; where all is well it is a few
_OFFSET = "SeaweedFS_filerSync_sync_offset"  # nanoseconds since the epoch, of the source's clock
_LOOK_EVERY = 2.0  # seconds
_WITHIN = 5.0  # seconds


def health_url(config: Config) -> str:
    """Answers 200 while the program runs, whether or not the other site answers."""
    return f"http://127.0.0.1:{config.ports.replication}/health"


class Lag:
    """Of the `replication` that runs in this process."""

    def __init__(self, config: Config, owed: Callable[[], int]) -> None:
        self._owed = owed
        self._url = f"http://127.0.0.1:{config.ports.replication_metrics}/metrics"
        self._client = httpx.AsyncClient(
            timeout=5, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self._until: float | None = None

    @property
    def behind(self) -> float | None:
        """Seconds; None when nothing has come from the other site since this process began."""
        return None if self._until is None else max(0.0, time.time() - self._until)

    @property
    def owed(self) -> int:
        """Objects of the other site's that wait for buckets here to take files again."""
        return self._owed()

    async def run(self) -> None:
        """Look, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_EVERY)

    async def look(self) -> str:
        """SeaweedFS's own metrics; nothing while its program does not run."""
        try:
            text = (await self._client.get(self._url)).text
        except httpx.HTTPError:
            return ""
        self._until = offset(text) or self._until
        return text

    async def exposition(self) -> bytes:
        """For Prometheus: how far behind this store is, if that is known, what waits for room, and
        SeaweedFS's own."""
        own = (await self.look()).encode()
        registry = CollectorRegistry()
        if self.behind is not None:
            name = "quaderno_replication_behind_seconds"
            text = "Age of the last word from the other site's store."
            Gauge(name, text, registry=registry).set(self.behind)
        text = "Objects of the other site that wait for buckets here to take files again."
        Gauge("quaderno_replication_owed_objects", text, registry=registry).set(self.owed)
        return generate_latest(registry) + own


def offset(text: str) -> float | None:
    """Unix seconds up to which everything has come, of what SeaweedFS says; None where nothing has
    come since its program began."""
    values = [
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == _OFFSET and sample.value
    ]
    return min(values) / 1e9 if values else None


@dataclass(frozen=True)
class Standing:
    """As `quaderno status` shows it: `source` is the other site, `behind` seconds, None when that
    is not known; so many objects are `owed` to buckets that take nothing now."""

    source: str
    behind: float | None
    owed: int = 0

    @property
    def warnings(self) -> list[str]:
        """What is wrong although everything runs."""
        if self.behind is None or self.behind < WARN_AFTER:
            return []
        return [
            f"this site's store is {self.behind:.0f} s behind that of {self.source}; see quaderno "
            "site list, and logs/replication.log and logs/director.log of both sites"
        ]


def standing(config: Config) -> Standing | None:
    """Asked of this machine's `replication`; None where no stores replicate each other."""
    if not config.sites.replicated:
        return None
    (peer,) = config.sites.peers
    try:
        with httpx.Client(timeout=_WITHIN, trust_env=False) as client:
            found = client.get(health_url(config)).raise_for_status().json()
            return Standing(peer.name, found["behind"], found["owed"])
    except (httpx.HTTPError, ValueError, KeyError):
        return Standing(peer.name, None)
