"""Quotas of the embedded store's buckets that no mount looks after: further ones, and those of
people who have made theirs without a server.

The store does not count anybody's buckets, so whatever makes one, a page or an S3 client, it is
found by a look at all of them once in EVERY seconds. Of those that are more than a person may have,
the youngest hold next to nothing.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from quaderno import names
from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import seaweedfs_quota
from quaderno.storage.keys import HubKeys
from quaderno.storage.seaweedfs_quota import Bucket
from quaderno.storage.unrepeated import REPEATED

LOG = logging.getLogger("quaderno.agent")
EVERY = 60.0  # seconds; so often the store itself looks who is over their quota
LEAST = 2**20  # bytes; none would be no limit


def of_further(config: Config, buckets: Iterable[Bucket]) -> Iterator[tuple[str, int]]:
    """The names of further buckets whose quota is another, and what it should be, in bytes."""
    by_owner = defaultdict(list)
    for bucket in buckets:
        owner, name = names.owner(bucket.name)
        if name and names.storage_problem(owner) is None:
            by_owner[owner].append(bucket)
    for theirs in by_owner.values():
        theirs.sort(key=lambda bucket: (bucket.made, bucket.name))
        for number, bucket in enumerate(theirs):
            most = config.store.further_buckets
            wanted = -(-config.store.further_quota // LEAST) * LEAST if number < most else LEAST
            if bucket.quota != wanted:
                yield bucket.name, wanted


def without(config: Config, buckets: Iterable[Bucket]) -> list[str]:
    """Whose personal buckets have no quota."""
    return [
        bucket.name
        for bucket in buckets
        if not bucket.quota
        and bucket.name != config.store.scratch_bucket
        and names.storage_problem(bucket.name) is None
    ]


async def look(config: Config, keys: HubKeys) -> None:
    """Set what is not as it should be. Raises StorageError when the store does not say what is
    there; one bucket that fails keeps no other waiting."""
    buckets = await asyncio.to_thread(seaweedfs_quota.buckets, config)
    for name, limit in of_further(config, buckets):
        with _going_on(f"the bucket {name}"):
            await _set(config, name, limit)
    for username in without(config, buckets):
        with _going_on(f"the bucket of {username}"):
            if limit := await _personal(config, keys, username):
                await _set(config, names.bucket(username), limit)


async def _set(config: Config, bucket: str, limit: int) -> None:
    await asyncio.to_thread(seaweedfs_quota.ensure_quota, config, bucket, limit)
    LOG.info("The bucket %s may hold %d bytes", bucket, limit)


async def _personal(config: Config, keys: HubKeys, username: str) -> int:
    """What the hub says, which knows their groups; everybody's while it has no login of theirs."""
    if not config.store.group_quotas:
        return config.store.quota
    try:
        await keys.get(username)
    except StorageError:
        return config.store.quota
    return keys.quota(username)


async def keep_watch(config: Config, keys: HubKeys) -> None:
    """Look for ever, where the store is ours."""
    while config.sets_bucket_quotas:
        with _going_on("the buckets"):
            await look(config, keys)
        await asyncio.sleep(EVERY)


@contextmanager
def _going_on(what: str) -> Iterator[None]:
    """Whatever goes wrong is logged, and tried again at the next look."""
    try:
        yield
    except StorageError as error:
        LOG.info("The quota of %s: %s", what, error, extra=REPEATED)
    except Exception:
        LOG.exception("The quota of %s", what, extra=REPEATED)
