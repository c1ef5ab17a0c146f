"""How much a personal bucket holds, by the cheapest way that its store has.

The embedded store's master knows the size of every bucket. Ceph's RADOS Gateway says it in the
answer to HEAD Bucket, with the quotas that it enforces. Of other stores a listing is summed up.
"""

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from quaderno import names
from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import buckets, seaweedfs_quota
from quaderno.storage.keys import HubKeys
from quaderno.storage.objects import Objects
from quaderno.storage.sts import Keys, as_storage_error

LOG = logging.getLogger("quaderno.agent")
SELDOM, OFTEN = 30.0, 2.0  # seconds between two measurements
SHARE, SHARE_URGENT = 0.02, 0.2  # of the time may go into measuring
STORE_LAG = 8.0  # seconds until the embedded store's master knows what was uploaded
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
            keys = await self._keys.get(self._username)
            if self._config.sets_bucket_quotas:
                await asyncio.to_thread(self._set_quota)
            began = time.monotonic()
            self.last = await self._usage(keys)
            self._took = time.monotonic() - began
            if self._config.sets_bucket_quotas:
                await asyncio.to_thread(self._enforce, self.last)
        except StorageError as error:
            LOG.info("%s: how much is used is not known: %s", self._username, error)
        self._ended = time.monotonic()

    async def _usage(self, keys: Keys) -> Usage:
        began = time.monotonic()
        if self._config.sets_bucket_quotas:
            volumes = seaweedfs_quota.volumes(seaweedfs_quota.master_url(self._config))
            used = await asyncio.to_thread(volumes.used, self._bucket)
            return Usage(used, 0, began - STORE_LAG)
        told = await asyncio.to_thread(_head, self._config, keys, self._bucket)
        return Usage(await self._listed(), 0, began) if told is None else Usage(*told, began)

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

    async def _listed(self) -> int:
        """Page by page, so that it can be cancelled, holds up nobody, and outlives its keys."""
        used, token, last = 0, "", None
        while True:
            keys = await self._keys.get(self._username)
            if keys is not last:
                last, objects = keys, await asyncio.to_thread(Objects, self._config, keys)
            size, token = await asyncio.to_thread(objects.page_size, self._bucket, token)
            used += size
            if not token:
                return used


def _head(config: Config, keys: Keys, bucket: str) -> tuple[int, int] | None:
    """Used and limit as a RADOS Gateway says them; None of another store."""
    try:
        answer = buckets.client(config, keys).head_bucket(Bucket=bucket)
    except (ClientError, BotoCoreError) as error:
        raise as_storage_error(error, f"show {bucket}", config.store_endpoint) from error
    return rgw_figures(answer["ResponseMetadata"]["HTTPHeaders"])


def rgw_figures(headers: Mapping[str, str]) -> tuple[int, int] | None:
    """Used and limit in bytes from a RADOS Gateway's headers, where -1 means no limit."""
    try:
        used = int(headers[_RGW_USED])
        quotas = [int(headers[name]) for name in _RGW_QUOTAS if name in headers]
    except (KeyError, ValueError):
        return None
    return used, min((quota for quota in quotas if quota > 0), default=0)
