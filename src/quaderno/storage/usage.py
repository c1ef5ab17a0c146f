"""How much a personal bucket holds, by the cheapest way that its store has.

The embedded store's master knows the size of every bucket. Ceph's RADOS Gateway says it in the
answer to HEAD Bucket, with the quotas that it enforces. Of other stores a listing is summed up.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from quaderno import names
from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import seaweedfs_quota
from quaderno.storage.keys import HubKeys
from quaderno.storage.objects import Objects
from quaderno.storage.sts import Keys
from quaderno.storage.unrepeated import REPEATED

T = TypeVar("T")
LOG = logging.getLogger("quaderno.agent")
SELDOM, OFTEN = 30.0, 2.0  # seconds between two measurements
SHARE, SHARE_URGENT = 0.02, 0.2  # of the time may go into measuring
ACTIVE = 10.0  # seconds after something was uploaded, in which a store may learn of it
_THREADS = ThreadPoolExecutor(4, "usage")  # of their own: they wait for a store that is away
_RGW_USED = "x-rgw-bytes-used"
_RGW_QUOTAS = ("x-rgw-quota-bucket-size", "x-rgw-quota-user-size")


@dataclass(frozen=True)
class Usage:
    """Bytes in a bucket; `limit` is what the store itself says to enforce (0: nothing); what was
    uploaded after `since` (monotonic seconds) may not be among them."""

    used: int
    limit: int
    since: float


class Meter:
    """Measures one person's bucket in the background, and has the embedded store's quota set."""

    def __init__(self, config: Config, keys: HubKeys, username: str) -> None:
        self.last: Usage | None = None
        self._config, self._keys, self._username = config, keys, username
        self._bucket = names.bucket(username)
        self._task: asyncio.Task[None] | None = None
        self._ended, self._took = -math.inf, 0.0
        self._made: tuple[Keys, Objects] | None = None
        self._set: int | None = None
        self._closed = False

    @property
    def limit(self) -> int:
        """The least that hub and store say, in bytes; 0: no limit, or not known yet."""
        ours, theirs = self._keys.quota(self._username), self.last.limit if self.last else 0
        return min(filter(None, (ours, theirs)), default=0)

    def measure(self, *, often: bool, urgent: bool) -> None:
        """Begin a measurement if it is time for one; never waits for its end."""
        least = OFTEN if often or urgent else SELDOM
        pause = max(least, self._took / (SHARE_URGENT if urgent else SHARE))
        idle = self._task is None or self._task.done()
        if idle and time.monotonic() >= self._ended + pause:
            self._task = asyncio.create_task(self._measure(), name=f"usage of {self._username}")

    async def _measure(self) -> None:
        try:
            await self._keys.get(self._username)  # and with them, the quota
            if self._config.sets_bucket_quotas:
                await _in_thread(self._set_quota)
            self._took = 0.0
            self.last = await self._usage()
            if self._config.sets_bucket_quotas:
                await _in_thread(self._enforce, self.last)
        except StorageError as error:
            LOG.info("%s: how much is used is not known: %s", self._username, error, extra=REPEATED)
        self._ended = time.monotonic()

    async def _usage(self) -> Usage:
        if self._config.sets_bucket_quotas:
            volumes = seaweedfs_quota.volumes(seaweedfs_quota.master_url(self._config))
            # Costs this person nothing: it limits itself, and most of it is waiting for others.
            used, since = await _in_thread(volumes.used, self._bucket)
            return Usage(used, 0, since)
        objects = await self._objects()
        since = time.monotonic()
        told = rgw_figures(await self._ask(objects.bucket_headers, self._bucket))
        return Usage(await self._listed(), 0, since) if told is None else Usage(*told, since)

    async def _listed(self) -> int:
        """Page by page, so that it can be cancelled, holds up nobody, and outlives its keys."""
        used, token = 0, ""
        while True:
            objects = await self._objects()
            size, token = await self._ask(objects.page_size, self._bucket, token)
            used += size
            if not token:
                return used

    async def _ask(self, question: Callable[..., T], *arguments: str) -> T:
        """The answer of the store, whose time counts; that until a thread is free does not."""

        def timed() -> T:
            began = time.monotonic()
            try:
                return question(*arguments)
            finally:
                self._took += time.monotonic() - began

        return await _in_thread(timed)

    async def _objects(self) -> Objects:
        """With keys that are valid now; to make it takes longer than to ask."""
        keys = await self._keys.get(self._username)
        if self._made is None or self._made[0] is not keys:
            self._made = keys, await _in_thread(Objects, self._config, keys)
        return self._made[1]

    def _set_quota(self) -> None:
        """What the hub said, where it is not yet so. Blocking. Raises StorageError."""
        limit = self._keys.quota(self._username)
        if limit != self._set:
            seaweedfs_quota.ensure_quota(self._config, self._bucket, limit)
            self._set = limit

    def _enforce(self, usage: Usage) -> None:
        """Sooner than the store would by itself. Blocking. Raises StorageError."""
        over = 0 < self._keys.quota(self._username) < usage.used
        if over is not self._closed:
            seaweedfs_quota.enforce(self._config)
            self._closed = over


async def _in_thread(do: Callable[..., T], *arguments: object) -> T:
    """Never in a thread that something else may want while the store hangs."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, do, *arguments)


def rgw_figures(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """Used and limit in bytes from a RADOS Gateway's headers, where -1 means no limit."""
    try:
        used = int(headers[_RGW_USED])
        quotas = [int(headers[name]) for name in _RGW_QUOTAS if name in headers]
    except (KeyError, ValueError):
        return None
    return used, min((quota for quota in quotas if quota > 0), default=0)
