"""Bringing one person's mounts up: keys and bucket, the repair, rclone, FUSE."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from quaderno.config import Config
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import (
    boots,
    buckets,
    directories,
    freshness,
    mount_table,
    mounts,
    repair,
    strays,
)
from quaderno.storage.keys import HubKeys
from quaderno.storage.lease_keeper import LeaseKeeper
from quaderno.storage.mounts import Area, MountPlan
from quaderno.storage.objects import Objects
from quaderno.storage.rclone import Rclone
from quaderno.storage.repair import Damage
from quaderno.storage.states import RETRY_LEAST, State, WaitingError
from quaderno.storage.sts import Keys

LOG = logging.getLogger("quaderno.agent")
ADOPT_DEADLINE = 60.0  # seconds in which a living rclone must answer an agent that starts


async def adopt(plan: MountPlan, tell: Callable[[str], Awaitable[None]]) -> Rclone | None:
    """What an earlier agent started, if it answers. A slow one is given time: to end it breaks
    every file that is open in the mounts. `tell` is called with what is waited for."""
    rclone = Rclone.find(plan)
    if rclone is None:
        return None
    deadline = time.monotonic() + ADOPT_DEADLINE
    while not await rclone.answers():
        gone = rclone.exited.is_set() or not mount_table.below(plan.root)
        if gone or time.monotonic() > deadline:
            LOG.error("rclone %s of %s does not answer", rclone.pid, plan.username)
            await rclone.kill()
            return None
        await tell("The storage is slow to answer")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(rclone.exited.wait(), RETRY_LEAST)
    with contextlib.suppress(OSError):
        await asyncio.to_thread(boots.remember, plan)  # an agent that did not may have started it
    return rclone


async def prepare_store(config: Config, keys: HubKeys, plan: MountPlan, lease: LeaseKeeper) -> Keys:
    """Keys, the bucket and the scratch area, and the lease. Raises WaitingError."""
    username = plan.username
    try:
        found = await keys.get(username)
    except StorageError as error:
        raise WaitingError(State.WAIT_KEYS, error) from error
    try:
        for ensure in (buckets.ensure_personal_bucket, buckets.ensure_scratch_area):
            await asyncio.to_thread(ensure, config, username, found)
        await lease.take()
    except WaitingError:
        raise
    except StorageRefusedError as error:
        keys.forget(username)  # the next try is with new ones
        raise WaitingError(State.WAIT_S3, error) from error
    except StorageError as error:
        raise WaitingError(State.WAIT_S3, error) from error
    return found


async def start(
    config: Config, keys: HubKeys, plan: MountPlan, lease: LeaseKeeper, *, at_once: bool
) -> Rclone:
    """An rclone whose cache is mended and whose bucket is there; nothing is mounted yet.

    With `at_once` both are begun side by side, which saves who waits a tenth of a second; without,
    rclone is not started in vain. Raises StorageError and OSError.
    """
    damages = await asyncio.to_thread(_prepare_node, config, plan)
    if damages or not at_once:
        found = await prepare_store(config, keys, plan, lease)
        await asyncio.to_thread(_repair, config, plan, damages, found, lease.disputed)
        lease.settle()
        return await _start_rclone(config, plan)
    rclone, outcome = await asyncio.gather(
        _start_rclone(config, plan),
        prepare_store(config, keys, plan, lease),
        return_exceptions=True,
    )
    if isinstance(outcome, BaseException):
        if isinstance(rclone, Rclone):
            await rclone.quit()
        raise outcome
    if isinstance(rclone, BaseException):
        raise rclone
    try:
        lease.settle()
    except OSError:
        await rclone.quit()
        raise
    return rclone


def _prepare_node(config: Config, plan: MountPlan) -> list[Damage]:
    directories.prepare_mountpoints(plan)
    directories.prepare_state(config, plan)
    strays.rescue_left(plan)
    return repair.survey(plan, rebooted=boots.has_rebooted(plan))


async def _start_rclone(config: Config, plan: MountPlan) -> Rclone:
    await asyncio.to_thread(boots.remember, plan)
    return await Rclone.start(config, plan)


def _repair(
    config: Config, plan: MountPlan, damages: list[Damage], keys: Keys, disputed: float | None
) -> None:
    try:
        site = (config.sites.name or "") if config.sites.replicated else ""
        repair.repair(plan, damages, Objects(config, keys), disputed, site)
    except StorageError as error:
        raise WaitingError(State.WAIT_S3, error) from error


async def mount(config: Config, plan: MountPlan, rclone: Rclone) -> None:
    """Every area that is not mounted, and a look whether all are. Raises StorageError."""
    present = {mount.path for mount in mount_table.below(plan.root)}
    for area in plan.areas:
        if area.mountpoint not in present:
            await _mount_area(config, rclone, area)
    if not await is_mounted(plan, rclone):
        raise StorageError("The mounts did not appear, or have no disk cache")
    with contextlib.suppress(StorageError):  # it is read when somebody looks, then
        await freshness.read_tops(rclone, plan)
    plan.notice.unlink(missing_ok=True)


async def is_mounted(plan: MountPlan, rclone: Rclone) -> bool:
    """Whether every area is in the mount table, and its cache on the disk."""
    table = {mount.path: mount for mount in mount_table.below(plan.root)}
    for area in plan.areas:
        mount = table.get(area.mountpoint)
        if mount is None or not mount.file_system.startswith("fuse"):
            return False
        try:
            stats = await rclone.call("vfs/stats", fs=area.remote, within=5)
        except StorageError:
            return False
        if not str(stats.get("diskCache", {}).get("path", "")).startswith(str(plan.cache)):
            return False
    return True


async def _mount_area(config: Config, rclone: Rclone, area: Area) -> None:
    best, fallback = (
        mounts.mount_call(config, area, mount_type) for mount_type in mounts.MOUNT_TYPES
    )
    try:
        await rclone.call("mount/mount", **best)
    except StorageError as error:
        if "failed to mount FUSE" not in error.message:
            raise  # the store's trouble; another kind of mount would have it too
        LOG.warning("%s is mounted with %s: %s", area.mountpoint, fallback["mountType"], error)
        await rclone.call("mount/mount", **fallback)
