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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quaderno.config import Config
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import buckets, cache, directories, freshness, mount_table, mounts, uploads
from quaderno.storage.keys import HubKeys
from quaderno.storage.mounts import Area, MountPlan
from quaderno.storage.rclone import Rclone
from quaderno.storage.states import REFUSED_MOST, RETRY_LEAST, RETRY_MOST, State, WaitingError

LOG = logging.getLogger("quaderno.agent")
REFRESH_SHARED = 15.0  # seconds until others' changes in scratch show
DRAIN_POLL = 0.3  # seconds
DRAIN_CONFIRM = 1.5  # seconds between the two looks that must both find nothing to upload
ADOPT_DEADLINE = 60.0  # seconds in which a living rclone must answer an agent that starts
STALLED_AFTER = 30.0  # seconds of waiting for the keys or the store without any change


class UserMounts:
    """The mounts of one person; make it inside the event loop."""

    def __init__(self, config: Config, keys: HubKeys, plan: MountPlan) -> None:
        self.plan, self.state, self.reason, self.pending = plan, State.UNMOUNTED, "", 0
        self.servers, self.set_aside = directories.load_servers(plan), 0
        self._config, self._keys = config, keys
        self._suspended = False
        self._waits_since: float | None = None
        self._rclone: Rclone | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._changed = asyncio.Condition()

    # --- what requests may do

    @property
    def wanted(self) -> bool:
        """Whether a server uses the mounts."""
        return bool(self.servers) and not self._suspended

    @property
    def stalled(self) -> bool:
        """Whether nothing changes, for want of the keys or the store."""
        since = self._waits_since
        return since is not None and time.monotonic() - since >= STALLED_AFTER

    def use(self, server: str) -> None:
        """`server` uses the mounts from now on; what is waited for is tried now. Raises OSError."""
        self._suspended = False
        self._register(self.servers | {server})
        if self.state in (State.WAIT_KEYS, State.WAIT_S3):
            self.state = State.PREPARE  # whoever waits gets the answer to come, not the last
        self.run()

    def release(self, server: str) -> None:
        """`server` does not use them any more. Raises OSError."""
        if server in self.servers:
            self._register(self.servers - {server})

    def suspend(self) -> None:
        """Upload everything and unmount; the servers stay registered for the next start."""
        if not self._suspended:
            self._suspended = True
            self._note(progress=True, waits=self._waits_since is not None)
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
        if self._rclone and self.state is State.READY:
            await freshness.refresh_all(self._rclone, self.plan)

    async def look(self) -> None:
        """Bring `pending` up to date."""
        if self._rclone is not None and self.state is State.READY:
            with contextlib.suppress(StorageError):  # as many as last time, then
                self.pending = await uploads.count(self._rclone, self.plan)

    def mounts_changed(self, present: set[Path]) -> None:
        """Told after each change of the mount table: somebody may have unmounted an area."""
        if self.state in (State.MOUNTING, State.READY) and not self._is_in(present):
            self._wake.set()

    def detach(self) -> None:
        """Stop looking after the mounts and leave them as they are."""
        if self._task is not None:
            self._task.cancel()

    async def wait(self, seconds: float) -> None:
        """Return when the state is final, or after `seconds`."""
        await self._wait_for(lambda: self.state.is_final, seconds)

    async def wait_unmounted(self, seconds: float) -> None:
        """Return when nothing is mounted any more, when `stalled`, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not (self.stalled or self.state is State.UNMOUNTED):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            await self._wait_for(lambda: self.state is State.UNMOUNTED, min(left, 1))

    def describe(self) -> dict[str, Any]:
        """The state as the API shows it.

        `pending` counts files that are not uploaded yet, `set_aside` those that lie in a
        directory of this node because a crash left them without a description.
        """
        return {
            "user": self.plan.username,
            "state": self.state,
            "reason": self.reason,
            "pending": self.pending,
            "set_aside": self.set_aside,
            "servers": sorted(self.servers),
            "cloud_storage": str(self.plan.root),
            "local": str(self.plan.local),
        }

    # --- the machine

    async def _run(self) -> None:
        """The task: no error ends it while the mounts are wanted or a file is not uploaded."""
        self.set_aside = await asyncio.to_thread(cache.count_set_aside, self.plan)
        self._rclone = await self._adopt()
        delay, ended = RETRY_LEAST, False
        while not ended:
            most = RETRY_MOST
            try:
                ended = await self._live()
                delay = RETRY_LEAST
                continue
            except WaitingError as error:
                most = REFUSED_MOST if error.refused else RETRY_MOST
                await self._fail(error.state, error)
            except (StorageError, OSError) as error:
                await self._fail(State.WAIT_S3, error)
            except Exception as error:
                LOG.exception("%s: unexpected", self.plan.username)
                await self._fail(State.WAIT_S3, error)
            asked = await self._pause(delay)
            delay = RETRY_LEAST if asked else min(delay * 2, most)

    async def _live(self) -> bool:
        """From what is there to unmounted; False after a crash, when all is to be made again."""
        self.pending = await self._unsent()
        left_to_see = self._rclone is not None and self._waits_since is None
        if self.wanted or self.pending or left_to_see:
            rclone = await self._bring_up()
            self._waits_since = None
            if not await self._serve(rclone):
                return False
        await self._take_down()
        return True

    async def _fail(self, state: State, error: Exception) -> None:
        before, self.pending = self.pending, await self._unsent()
        self._note(self.pending != before, waits=True)
        await self._publish(state, str(error))

    def _note(self, progress: bool, *, waits: bool) -> None:
        """Keep since when it waits for the keys or the store and nothing changes."""
        if not waits:
            self._waits_since = None
        elif progress or self._waits_since is None:
            self._waits_since = time.monotonic()

    async def _adopt(self) -> Rclone | None:
        """What an earlier agent started, if it answers. A slow one is given time: to end it
        breaks every file that is open in the mounts."""
        rclone = Rclone.find(self.plan)
        if rclone is None:
            return None
        deadline = time.monotonic() + ADOPT_DEADLINE
        while not await rclone.answers():
            gone = rclone.exited.is_set() or not mount_table.below(self.plan.root)
            if gone or time.monotonic() > deadline:
                LOG.error("rclone %s of %s does not answer", rclone.pid, self.plan.username)
                await rclone.kill()
                return None
            await self._publish(State.PREPARE, "The storage is slow to answer")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rclone.exited.wait(), RETRY_LEAST)
        return rclone

    async def _bring_up(self) -> Rclone:
        """Everything mounted and verified, whatever was there before."""
        if self._rclone is not None and await self._is_mounted(self._rclone):
            return self._rclone
        if self.state is not State.CRASHED:
            await self._publish(State.PREPARE)
        if self._waits_since is None:
            await self._prepare_at_once()
        else:  # it may fail again, and would start rclone in vain
            await self._prepare_store()
            await self._start_rclone()
        await self._publish(State.MOUNTING)
        return await self._mount()

    async def _prepare_at_once(self) -> None:
        """Both side by side, which saves who waits a tenth of a second."""
        before = self._rclone
        outcomes = await asyncio.gather(
            self._start_rclone(), self._prepare_store(), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                if self._rclone is not None and self._rclone is not before:  # in vain
                    await self._rclone.quit()
                    self._rclone = None
                raise outcome

    async def _start_rclone(self) -> None:
        if self._rclone is not None and not self._rclone.exited.is_set():
            return
        self._rclone = None
        directories.prepare_mountpoints(self.plan)
        directories.prepare_state(self._config, self.plan)
        await asyncio.to_thread(self._save_from_rclone)
        self._rclone = await Rclone.start(self._config, self.plan)

    def _save_from_rclone(self) -> None:
        for path in cache.set_aside(self.plan):
            LOG.error("rclone would delete a file without a description: moved to %s", path)
            self.set_aside += 1

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
            if not self._is_in({mount.path for mount in mount_table.below(self.plan.root)}):
                return await self._reconnect("a mount is gone")
            if self.wanted:
                await self._publish(State.READY)
                if not await self._pause(REFRESH_SHARED):
                    with contextlib.suppress(StorageError):  # what was seen last stays, then
                        await freshness.refresh_shared(rclone, self.plan)
            elif await self._drain(rclone):
                return True
        self._rclone = None
        return await self._reconnect("rclone ended")

    async def _reconnect(self, why: str) -> bool:
        LOG.error("%s: %s; it is made again", self.plan.username, why)
        await self._publish(State.CRASHED, "The storage is being reconnected")
        return False

    def _is_in(self, present: set[Path]) -> bool:
        return all(area.mountpoint in present for area in self.plan.areas)

    async def _drain(self, rclone: Rclone) -> bool:
        """Upload what is left; False when it is wanted again, or something went wrong."""
        clean = False
        while not self.wanted and not rclone.exited.is_set():
            try:
                left = await uploads.hurry(rclone, self.plan)
                pending = max(left.count, await self._unsent())
            except StorageError as error:
                LOG.warning("%s: %s", self.plan.username, error)
                await self._pause(DRAIN_POLL)
                return False
            self._note(pending != self.pending, waits=pending > 0 and left.failing)
            self.pending = pending
            await self._publish(State.DRAINING, uploads.reason(pending, failing=left.failing))
            if clean and not self.pending:
                return True
            clean = not self.pending
            await self._pause(DRAIN_CONFIRM if clean else DRAIN_POLL)
        return False

    async def _take_down(self) -> None:
        mount_table.unmount_all(self.plan.root)  # never by a path through a mount: it may hang
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
        return await asyncio.to_thread(cache.unsent, self.plan)

    async def _publish(self, state: State, reason: str = "") -> None:
        if state is not self.state:
            LOG.info("%s: %s %s", self.plan.username, state, reason)
        self.state, self.reason = state, reason
        async with self._changed:
            self._changed.notify_all()

    async def _pause(self, seconds: float | None) -> bool:
        """Until a request or the end of rclone, or for `seconds`; whether it was a request."""
        waits = [asyncio.create_task(self._wake.wait())]
        if self._rclone is not None:
            waits.append(asyncio.create_task(self._rclone.exited.wait()))
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        asked = self._wake.is_set()
        self._wake.clear()
        return asked

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
