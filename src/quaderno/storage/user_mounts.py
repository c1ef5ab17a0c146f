"""One person's mounts on this node, from wanted to ready and back: the state machine.

    PREPARE -> MOUNTING -> READY -> DRAINING -> UNMOUNTED
       |  ^                  |
       v  |                  v
    WAIT_KEYS, WAIT_S3,   CRASHED -> PREPARE
    WAIT_LEASE

A task owns the machine; requests only change what is wanted and wake it. It never unmounts while
a file is not in the object store yet: it says how many there are, and keeps uploading.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import directories, health, mount_table, mounting, uploads
from quaderno.storage.freshness import Refresher
from quaderno.storage.keys import HubKeys
from quaderno.storage.lease_keeper import HOLD_EVERY, LeaseKeeper
from quaderno.storage.local import Local
from quaderno.storage.mounts import MountPlan
from quaderno.storage.rclone import Rclone
from quaderno.storage.states import REFUSED_MOST, RETRY_LEAST, RETRY_MOST, State, WaitingError
from quaderno.storage.watch import LOOK_EVERY, Watch

LOG = logging.getLogger("quaderno.agent")
DRAIN_POLL = 0.3  # seconds
DRAIN_CONFIRM = 1.5  # seconds between the two looks that must both find nothing to upload
STALLED_AFTER = 30.0  # seconds of waiting for the keys or the store without any change


class UserMounts:
    """The mounts of one person; make it inside the event loop."""

    def __init__(self, config: Config, keys: HubKeys, plan: MountPlan) -> None:
        self.plan, self.state, self.reason, self.pending = plan, State.UNMOUNTED, "", 0
        self.servers = directories.load_servers(plan)
        self._config, self._keys = config, keys
        self._watch = Watch(config, keys, plan)
        self._lease = LeaseKeeper(config, keys, plan)
        self._refresher = Refresher(plan, config.agent.refresh)
        self._local = Local(config, plan)
        self._suspended = self._guarded = False
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
        self._lease.ask()
        self._local.limit()
        self._register(self.servers | {server})
        if self.state.is_waiting:
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

    def take_over(self) -> None:
        """Have the storage here although another node has not sent everything.

        Raises StorageRefusedError unless that node has not been heard of for long.
        """
        self._lease.choose()
        self.state = State.PREPARE
        self.run()

    async def refresh(self) -> None:
        """Have changes that were made elsewhere show at once. Raises StorageError."""
        if self._rclone and self.state is State.READY:
            await self._refresher.all_now(self._rclone)

    async def clean_up(self) -> None:
        """Have a full bucket writable for a while, that its owner can delete files."""
        self._watch.quota.allow_clean_up()
        await self.look()

    async def look(self) -> None:
        """Bring the figures up to date."""
        if self._rclone is not None and self.state in (State.READY, State.DRAINING):
            with contextlib.suppress(StorageError, OSError):  # as they were last time, then
                await self._watch.look(self._rclone, may_send=lambda: self._lease.confirmed)
        elif self.state is State.UNMOUNTED:
            self._watch.look_at_quota()

    def mounts_changed(self, present: set[Path]) -> None:
        """Told after each change of the mount table: somebody may have unmounted an area."""
        if self.state in (State.MOUNTING, State.READY) and not self._is_in(present):
            self._wake.set()

    def detach(self) -> None:
        """Stop looking after the mounts and leave them as they are."""
        self._lease.detach()
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
        """The state as the API shows it: `level` and `message` for the person, `reason` for the
        operator; bytes and seconds.
        """
        level, message = health.judge(self.state, self._watch.figures, self.reason)
        return {
            "user": self.plan.username,
            "node": self._config.node_name,
            "servers": sorted(self.servers),
            "state": self.state,
            "reason": self.reason,
            "level": level,
            "message": message,
            "cloud_storage": str(self.plan.root),
            "local": str(self.plan.local),
            "lease": self._lease.describe() if self.state is State.WAIT_LEASE else None,
            "local_quota": self._local.describe(),
        } | self._watch.figures.describe()

    # --- the machine

    async def _run(self) -> None:
        """The task, and beside it what holds uploads back whatever the machine waits for."""
        self._rclone = await mounting.adopt(self.plan, self._prepare_slowly)
        name = f"held uploads of {self.plan.username}"
        holding = asyncio.create_task(self._hold_unguarded(), name=name)
        holding.add_done_callback(_report)
        try:
            await self._live_on()
        finally:
            holding.cancel()

    async def _live_on(self) -> None:
        """No error ends it while the mounts are wanted or a file is not uploaded."""
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
        if state is State.WAIT_LEASE and self._rclone is not None:
            await self._rclone.kill()  # it sends nothing more
            self._rclone = None
        before, self.pending = self.pending, await self._unsent()
        self._note(self.pending != before, waits=True)
        await self._publish(state, str(error))

    def _note(self, progress: bool, *, waits: bool) -> None:
        """Keep since when it waits for the keys or the store and nothing changes."""
        if not waits:
            self._waits_since = None
        elif progress or self._waits_since is None:
            self._waits_since = time.monotonic()

    async def _prepare_slowly(self, reason: str) -> None:
        await self._publish(State.PREPARE, reason)

    async def _bring_up(self) -> Rclone:
        """Everything mounted and verified, whatever was there before."""
        if self._rclone is not None:
            if self._rclone.exited.is_set():
                self._rclone = None
            elif await mounting.is_mounted(self.plan, self._rclone):
                return self._rclone
        if self.state is not State.CRASHED:
            await self._publish(State.PREPARE)
        waited = self._waits_since is not None  # it may fail again
        if self._rclone is None:
            self._rclone = await mounting.start(
                self._config, self._keys, self.plan, self._lease, at_once=not waited
            )
        else:
            await mounting.prepare_store(self._config, self._keys, self.plan, self._lease)
            if self._lease.disputed is not None:  # what it would upload is to be compared first
                await self._rclone.kill()
                return await self._bring_up()
        await self._publish(State.MOUNTING)
        await mounting.mount(self._config, self.plan, self._rclone)
        self._refresher.start()
        return self._rclone

    async def _serve(self, rclone: Rclone) -> bool:
        """READY until the mounts are not wanted and empty of unsent files; False after a crash."""
        name = f"mounts of {self.plan.username} and their lease"
        guard = asyncio.create_task(self._lease.guard(rclone), name=name)
        guard.add_done_callback(_report)
        self._guarded = True
        try:
            return await self._serve_guarded(rclone)
        finally:
            self._guarded = False
            self._refresher.stop()
            guard.cancel()

    async def _hold_unguarded(self) -> None:
        """Whenever the lease's guard is not there: it also renews, and must not meet `take`.

        What is held is released by a look after the mounts are back: by then it is known whether
        it is disputed.
        """
        while True:
            if self._rclone is not None and not (self._guarded or self._lease.confirmed):
                await self._hold(self._rclone)
            await asyncio.sleep(HOLD_EVERY)

    async def _hold(self, rclone: Rclone) -> None:
        """Area by area: one that is not mounted has no queue, which must not spare the others."""
        for area in self.plan.writable:
            with contextlib.suppress(StorageError):
                await uploads.hold(rclone, replace(self.plan, areas=(area,)))

    async def _serve_guarded(self, rclone: Rclone) -> bool:
        while not rclone.exited.is_set():
            if not self._is_in({mount.path for mount in mount_table.below(self.plan.root)}):
                return await self._reconnect("a mount is gone")
            if self.wanted:
                await self._publish(State.READY)
                await self._look_after(rclone)
            elif await self._drain(rclone):
                return True
        self._rclone = None
        return await self._reconnect("the lease is lost" if self._lease.lost else "rclone ended")

    async def _look_after(self, rclone: Rclone) -> None:
        """Until the next look is due, or somebody asks for something."""
        with contextlib.suppress(StorageError):  # what was seen last stays, then
            await self._watch.look(rclone, may_send=lambda: self._lease.confirmed)
            self._lease.tell(self._watch.changed)
            if self._lease.confirmed:
                self._refresher.look(rclone)
        await self._pause(LOOK_EVERY)

    async def _reconnect(self, why: str) -> bool:
        LOG.error("%s: %s; it is made again", self.plan.username, why)
        await self._publish(State.CRASHED, "The storage is being reconnected")
        return False

    def _is_in(self, present: set[Path]) -> bool:
        return all(area.mountpoint in present for area in self.plan.areas)

    async def _drain(self, rclone: Rclone) -> bool:
        """Upload what is left; False when it is wanted again, or something went wrong."""
        clean = False
        while not (self.wanted or rclone.exited.is_set()):
            try:
                pending = await self._watch.send_all(rclone, may_send=lambda: self._lease.confirmed)
                self._lease.tell(self._watch.changed)
            except StorageError as error:
                LOG.warning("%s: %s", self.plan.username, error)
                await self._pause(DRAIN_POLL)
                return False
            failing = self._watch.figures.failing
            self._note(pending != self.pending, waits=pending > 0 and failing)
            self.pending = pending
            await self._publish(State.DRAINING, health.why_not_yet(pending, failing=failing))
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
        await self._lease.give_back()
        self._keys.forget(self.plan.username)
        self._task, self.pending = None, await self._unsent()
        if self.wanted:
            self.run()
        else:
            await self._publish(State.UNMOUNTED)

    # --- helpers

    async def _unsent(self) -> int:
        """How many files are not in the store, while no rclone is there to ask."""
        unsent = await self._watch.unsent()
        self._lease.tell(unsent)
        self._watch.without_rclone(unsent)
        return unsent.files

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
