"""One person's mounts on this node, from wanted to ready and back: the state machine.

    PREPARE -> MOUNTING -> READY -> DRAINING -> UNMOUNTED
       |  ^                  |
       v  |                  v
    WAIT_KEYS, WAIT_S3    CRASHED -> PREPARE

A task owns the machine; requests only change what is wanted and wake it. It never unmounts while
a file is not in the object store yet: it says how many there are, and keeps uploading.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from quaderno.config import Config
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import buckets, directories, mount_table, mounts
from quaderno.storage.keys import HubKeys
from quaderno.storage.mounts import Area, MountPlan
from quaderno.storage.rclone import Rclone

LOG = logging.getLogger("quaderno.agent")
RETRY_LEAST, RETRY_MOST = 0.5, 5.0  # seconds
DRAIN_POLL = 0.3  # seconds
DRAIN_CONFIRM = 1.5  # seconds between the two looks that must both find nothing to upload
_AT_ONCE = -1e9  # rclone's word for "as soon as possible", in seconds


class State(StrEnum):
    """Where a person's mounts are; see the module's description."""

    PREPARE = "PREPARE"
    WAIT_KEYS = "WAIT_KEYS"
    WAIT_S3 = "WAIT_S3"
    MOUNTING = "MOUNTING"
    READY = "READY"
    CRASHED = "CRASHED"
    DRAINING = "DRAINING"
    UNMOUNTED = "UNMOUNTED"

    @property
    def is_final(self) -> bool:
        """Whether waiting longer may be in vain."""
        return self in (State.READY, State.WAIT_KEYS, State.WAIT_S3, State.UNMOUNTED)


class WaitingError(StorageError):
    """The mounts cannot be made now; `state` says what is waited for, `message` why."""

    def __init__(self, state: State, reason: StorageError) -> None:
        super().__init__(reason.message, reason.hint)
        self.state = state


class UserMounts:
    """The mounts of one person; make it inside the event loop."""

    def __init__(self, config: Config, keys: HubKeys, plan: MountPlan) -> None:
        self.plan, self.state, self.reason, self.pending = plan, State.UNMOUNTED, "", 0
        self.servers = directories.load_servers(plan)
        self._config, self._keys = config, keys
        self._suspended = False
        self._rclone: Rclone | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()

    # --- what requests may do

    @property
    def wanted(self) -> bool:
        """Whether a server uses the mounts."""
        return bool(self.servers) and not self._suspended

    def use(self, server: str) -> None:
        """`server` uses the mounts from now on. Raises OSError."""
        self._suspended = False
        self._register(self.servers | {server})
        self.run()

    def release(self, server: str) -> None:
        """`server` does not use them any more. Raises OSError."""
        if server in self.servers:
            self._register(self.servers - {server})

    def suspend(self) -> None:
        """Upload everything and unmount; the servers stay registered for the next start."""
        self._suspended = True
        self._wake.set()

    def run(self) -> None:
        """Bring the mounts into the wanted state, in the background."""
        self._wake.set()
        if self._task is None or self._task.done():
            self.state, self.reason = State.PREPARE, ""
            self._task = asyncio.create_task(self._run(), name=f"mounts of {self.plan.username}")
            self._task.add_done_callback(_report)

    async def refresh(self) -> None:
        """Have changes that were made elsewhere show at once. Raises StorageError."""
        if self._rclone is not None and self.state is State.READY:
            for area in self.plan.areas:
                await self._rclone.call("vfs/forget", fs=area.remote)

    def detach(self) -> None:
        """Stop looking after the mounts and leave them as they are."""
        if self._task is not None:
            self._task.cancel()

    async def wait(self, seconds: float) -> None:
        """Return when the state is final, or after `seconds`."""
        await self._wait_for(lambda: self.state.is_final, seconds)

    async def wait_unmounted(self, seconds: float) -> None:
        """Return when nothing is mounted any more, or after `seconds`."""
        await self._wait_for(lambda: self.state is State.UNMOUNTED, seconds)

    def describe(self) -> dict[str, Any]:
        """The state as the API shows it; `pending` counts files that are not uploaded yet."""
        return {
            "user": self.plan.username,
            "state": self.state,
            "reason": self.reason,
            "pending": self.pending,
            "servers": sorted(self.servers),
            "cloud_storage": str(self.plan.root),
            "local": str(self.plan.local),
        }

    # --- the machine

    async def _run(self) -> None:
        self._rclone = await Rclone.adopt(self.plan)
        delay = RETRY_LEAST
        while self.wanted or self._rclone is not None or await self._unsent():
            try:
                rclone = await self._bring_up()
                delay = RETRY_LEAST
                if await self._serve(rclone):
                    break
                continue
            except (StorageError, OSError) as error:
                state = error.state if isinstance(error, WaitingError) else State.WAIT_S3
                self.pending = await self._unsent()
                await self._publish(state, str(error))
            if not self.wanted and not self.pending:
                break
            await self._pause(delay)
            delay = min(delay * 2, RETRY_MOST)
        await self._take_down()

    async def _bring_up(self) -> Rclone:
        """Everything mounted and verified, whatever was there before."""
        if self._rclone is not None and await self._is_mounted(self._rclone):
            return self._rclone
        if self.state is not State.CRASHED:
            await self._publish(State.PREPARE)
        starting, preparing = await asyncio.gather(
            self._start_rclone(), self._prepare_store(), return_exceptions=True
        )
        for outcome in (starting, preparing):
            if isinstance(outcome, BaseException):
                raise outcome
        await self._publish(State.MOUNTING)
        return await self._mount()

    async def _start_rclone(self) -> None:
        if self._rclone is not None and not self._rclone.exited.is_set():
            return
        self._rclone = None
        directories.prepare_mountpoints(self.plan)
        directories.prepare_state(self._config, self.plan)
        self._rclone = await Rclone.start(self._config, self.plan)

    async def _prepare_store(self) -> None:
        """Keys, the bucket and the scratch area; the place of the cache's repair."""
        username = self.plan.username
        try:
            keys = await self._keys.get(username)
        except StorageError as error:
            raise WaitingError(State.WAIT_KEYS, error) from error
        try:
            for ensure in (buckets.ensure_personal_bucket, buckets.ensure_scratch_area):
                await asyncio.to_thread(ensure, self._config, username, keys)
        except StorageRefusedError as error:
            self._keys.forget(username)  # the next try is with new ones
            raise WaitingError(State.WAIT_S3, error) from error
        except StorageError as error:
            raise WaitingError(State.WAIT_S3, error) from error

    async def _mount(self) -> Rclone:
        rclone = self._rclone
        if rclone is None:
            raise StorageError("rclone ended while it started", f"See {self.plan.state}")
        present = {mount.path for mount in mount_table.below(self.plan.root)}
        for area in self.plan.areas:
            if area.mountpoint not in present:
                await self._mount_area(rclone, area)
        if not await self._is_mounted(rclone):
            raise StorageError("The mounts did not appear, or have no disk cache")
        self.plan.notice.unlink(missing_ok=True)
        return rclone

    async def _mount_area(self, rclone: Rclone, area: Area) -> None:
        best, fallback = (
            mounts.mount_call(self._config, area, mount_type) for mount_type in mounts.MOUNT_TYPES
        )
        try:
            await rclone.call("mount/mount", **best)
        except StorageError as error:
            if "failed to mount FUSE" not in error.message:
                raise  # the store's trouble; another kind of mount would have it too
            LOG.warning("%s is mounted with %s: %s", area.mountpoint, fallback["mountType"], error)
            await rclone.call("mount/mount", **fallback)

    async def _is_mounted(self, rclone: Rclone) -> bool:
        """Whether every area is in the mount table, and its cache on the disk."""
        table = {mount.path: mount for mount in mount_table.below(self.plan.root)}
        for area in self.plan.areas:
            mount = table.get(area.mountpoint)
            if mount is None or not mount.file_system.startswith("fuse"):
                return False
            try:
                stats = await rclone.call("vfs/stats", fs=area.remote, within=5)
            except StorageError:
                return False
            if not str(stats.get("diskCache", {}).get("path", "")).startswith(str(self.plan.cache)):
                return False
        return True

    async def _serve(self, rclone: Rclone) -> bool:
        """READY until the mounts are not wanted and empty of unsent files; False after a crash."""
        while not rclone.exited.is_set():
            if self.wanted:
                self.pending = 0
                await self._publish(State.READY)
                await self._pause(None)
            elif await self._drain(rclone):
                return True
        LOG.error("rclone of %s ended; its mounts are made again", self.plan.username)
        self._rclone = None
        await self._publish(State.CRASHED, "The storage is being reconnected")
        return False

    async def _drain(self, rclone: Rclone) -> bool:
        """Upload what is left; False when the mounts are wanted again or rclone ended."""
        clean = False
        while not self.wanted and not rclone.exited.is_set():
            try:
                self.pending = await self._hurry(rclone)
            except StorageError as error:
                LOG.warning("%s: %s", self.plan.username, error)
                clean = False
                await self._pause(DRAIN_POLL)
                continue
            reason = f"{self.pending} files are not uploaded yet" if self.pending else ""
            await self._publish(State.DRAINING, reason)
            if clean and not self.pending:
                return True
            clean = not self.pending
            await self._pause(DRAIN_CONFIRM if clean else DRAIN_POLL)
        return False

    async def _hurry(self, rclone: Rclone) -> int:
        """Have every queued upload start now; the number of files not uploaded yet."""
        queued = 0
        for area in self.plan.writable:
            queue = (await rclone.call("vfs/queue", fs=area.remote)).get("queue") or []
            for item in queue:
                if not item["uploading"] and item["expiry"] > 0:
                    with contextlib.suppress(StorageError):  # it has just been uploaded
                        await rclone.call(
                            "vfs/queue-set-expiry", fs=area.remote, id=item["id"], expiry=_AT_ONCE
                        )
            cache = (await rclone.call("vfs/stats", fs=area.remote)).get("diskCache", {})
            uploads = cache.get("uploadsInProgress", 0) + cache.get("uploadsQueued", 0)
            queued += max(len(queue), uploads)
        return max(queued, await self._unsent())

    async def _take_down(self) -> None:
        for area in reversed(self.plan.areas):
            if not mount_table.unmount(area.mountpoint):
                mount_table.unmount(area.mountpoint, lazy=True)
        if self._rclone is not None:
            await self._rclone.quit()
            self._rclone = None
        directories.prepare_mountpoints(self.plan)
        self._keys.forget(self.plan.username)
        self._task, self.pending = None, 0
        if self.wanted:
            self.run()
        else:
            await self._publish(State.UNMOUNTED)

    # --- helpers

    async def _unsent(self) -> int:
        return await asyncio.to_thread(directories.unsent, self.plan)

    async def _publish(self, state: State, reason: str = "") -> None:
        if state is not self.state:
            LOG.info("%s: %s %s", self.plan.username, state, reason)
        self.state, self.reason = state, reason
        async with self._changed:
            self._changed.notify_all()

    async def _pause(self, seconds: float | None) -> None:
        """Until a request or the end of rclone, or for `seconds`."""
        waits = [asyncio.create_task(self._wake.wait())]
        if self._rclone is not None:
            waits.append(asyncio.create_task(self._rclone.exited.wait()))
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._wake.clear()

    async def _wait_for(self, condition: Callable[[], bool], seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)

    def _register(self, servers: set[str]) -> None:
        directories.save_servers(self.plan, servers)
        self.servers = servers
        self._wake.set()


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("The %s are not looked after any more", task.get_name(), exc_info=error)
