"""Looking after one person's mounts while they are there: uploads, strays, space, refusals.

Every look brings the figures up to date and does what can be done about them: a file that rclone
has stopped looking after is uploaded from a copy, failed uploads are tried again soon after the
store takes them, and nothing more is taken in when it could not be kept.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import (
    ballast,
    cache,
    conflict_notes,
    description_disk,
    freshness,
    mount_table,
    rescued,
    strays,
    uploads,
)
from quaderno.storage.cache import CachedFile, Unsent
from quaderno.storage.health import Figures, Pending, Refused
from quaderno.storage.keys import HubKeys
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Objects
from quaderno.storage.quota import Guard
from quaderno.storage.rclone import Rclone
from quaderno.storage.strays import Strays
from quaderno.storage.unrepeated import REPEATED
from quaderno.storage.uploads import Refusals, Upload

LOG = logging.getLogger("quaderno.agent")
LOOK_EVERY = 2.0  # seconds
DELIVER_EVERY = 10.0  # seconds between tries to bring what is rescued into the bucket
PROBE_EVERY = 3.0  # seconds between tries of one upload while all of them fail
_PATIENCE = 10.0  # seconds for a read through a mount
_COUNT_RESCUED_EVERY = 60.0  # seconds
_SCAN_SHARE = 0.02  # of the time may go into reading descriptions, or into sending in vain


class Watch:
    """Over the mounts of one person, as long as one rclone serves them."""

    def __init__(self, config: Config, keys: HubKeys, plan: MountPlan) -> None:
        self.figures = Figures()
        self.waiting: list[Upload] = []
        self._config, self._keys, self._plan = config, keys, plan
        self._changed, self._strays = cache.Changed(plan), Strays(plan)
        self._refusals = Refusals(plan.state / "rclone.log")
        self._scan_at = self._probe_at = self._count_at = self._deliver_at = 0.0
        self._looking = asyncio.Lock()
        self.quota = Guard(config, keys, plan)
        self._closed = False  # whether everything is read-only, for reasons other than the quota
        self._failed: set[Path] = set()
        self._rescued, self._conflicts = 0, tuple[str, ...]()
        self._files: list[CachedFile] = []
        self._unsent = Unsent(0, 0, None)

    @property
    def changed(self) -> Unsent:
        """What was not in the store at the last look, what is open for writing included."""
        return self._unsent

    @property
    def sendable(self) -> list[Upload]:
        """What waits, but for what the store would never take."""
        return [
            each
            for each in self.waiting
            if each.failed < uploads.REFUSED_AFTER or not self._refusals.is_of_the_file(each)
        ]

    async def look(self, rclone: Rclone, *, may_send: Callable[[], bool]) -> None:
        """One look at a time, and what follows from it, which sends nothing unless `may_send`:
        asked each time, since a look may wait for another, and take minutes itself.

        Raises StorageError and OSError.
        """
        async with self._looking:
            await self._look(rclone, may_send=may_send)

    async def send_all(self, rclone: Rclone, *, may_send: Callable[[], bool]) -> int:
        """A look at mounts that nobody uses, and haste; how many files are left.

        When all that is left in the queue are files that the store would never take, they are
        rescued, and rclone has ended. Raises StorageError and OSError.
        """
        await self.look(rclone, may_send=may_send)
        if may_send():
            await uploads.hurry(rclone, self.sendable)
        if self.waiting and not self.sendable:
            await self._rescue_refused(rclone)
            return (await self.unsent()).files
        left = await uploads.in_progress(rclone, self._plan)
        return max(left, (await self.unsent()).files)

    async def _rescue_refused(self, rclone: Rclone) -> None:
        told = {each.file.data for each in self.waiting}
        await rclone.kill()  # it would not let go of them
        await self.unsent()
        for file in self._files:
            if file.told in told:
                LOG.warning("%s is rescued: the store would never take it", file.path)
                await asyncio.to_thread(rescued.move, self._plan, file.data, file.path)
                file.remove()

    async def _look(self, rclone: Rclone, *, may_send: Callable[[], bool]) -> None:
        self.waiting, moved = await uploads.look(rclone, self._plan)
        await asyncio.to_thread(self._look_at_disk)
        if may_send():
            await self._return_strays(rclone, may_send)
        if may_send():
            await uploads.release(rclone, self.waiting)
        if may_send():
            await self._try_again(rclone)
        self._refusals.full = self._plan.home if self.quota.store_is_full else None
        refused = self._refused()
        self.quota.look(
            self.waiting,
            moved,
            refused=any(self._refusals.is_quota(each) for each in refused),
        )
        reason = await asyncio.to_thread(self._enforce, refused)
        aside = len(await asyncio.to_thread(rescued.waiting, self._plan))
        self.figures = Figures(
            pending=await asyncio.to_thread(self._pending),
            refused=tuple(
                Refused(f"cloud_storage/{each.file.path}", self._refusals.reason(each))
                for each in refused
            )
            + self._strays.refused,
            rescued=self._rescued,
            conflicts=self._conflicts,
            read_only=reason,
            failing=bool(self._strays.kept or self._strays.without_room or aside)
            or any(each.failed or each.held for each in self.waiting),
            aside=aside,
            quota=self.quota.figures,
        )

    def look_at_quota(self) -> None:
        """While nothing is mounted."""
        self.quota.look((), 0, refused=False)
        self.figures = replace(self.figures, quota=self.quota.figures)

    async def unsent(self) -> Unsent:
        """What of the cache is not in the store, whether or not rclone knows."""
        self._files = await asyncio.to_thread(self._changed.files)
        self._unsent = await asyncio.to_thread(self._unsent_of_node)
        return self._unsent

    def without_rclone(self, unsent: Unsent) -> None:
        """Figures of mounts that are not there."""
        self.waiting = []
        self.figures = Figures(
            _as_pending(unsent),
            rescued=self._rescued,
            conflicts=self._conflicts,
            quota=self.quota.figures,
        )

    # --- what a look consists of

    def _look_at_disk(self) -> None:
        self._refusals.read()
        now = time.monotonic()
        if now >= self._scan_at:
            self._files = self._changed.files()
            self._scan_at = now + (time.monotonic() - now) / _SCAN_SHARE
        self._unsent = self._unsent_of_node()
        self._strays.look(self._files, {upload.file.data for upload in self.waiting})

    def _unsent_of_node(self) -> Unsent:
        """Of changed files, and of those that have been kept aside for the bucket."""
        aside = rescued.waiting(self._plan) + strays.left(self._plan)
        return Unsent.of([*(file.data for file in self._files), *aside])

    async def _return_strays(self, rclone: Rclone, may_send: Callable[[], bool]) -> None:
        """Also what is rescued goes into the bucket, when the store takes it."""
        due = time.monotonic() >= self._count_at
        full = self._plan.home if self.quota.full else None
        if not (self._strays.due(full) or due or rescued.waiting(self._plan)):
            return
        returned: list[CachedFile] = []
        delivered = 0
        try:
            keys = await self._keys.get(self._plan.username)
            objects = await asyncio.to_thread(Objects, self._config, keys)
            returned = await asyncio.to_thread(self._strays.return_all, objects, may_send, full)
            delivered = await asyncio.to_thread(self._deliver, objects, may_send)
            if due or delivered or returned:
                self._rescued = await asyncio.to_thread(rescued.count, self._plan, objects)
                if self._config.sites.replicated:
                    found = await asyncio.to_thread(conflict_notes.standing, self._plan, objects)
                    self._conflicts = found
                self._count_at = time.monotonic() + _COUNT_RESCUED_EVERY
        except StorageError as error:
            LOG.info("%s: kept aside for now: %s", self._plan.username, error, extra=REPEATED)
        for file in returned:
            await self._have_forgotten(rclone, file)
        if returned or delivered:
            self._scan_at = 0
            await freshness.refresh_all(rclone, self._plan)

    def _deliver(self, objects: Objects, may_send: Callable[[], bool]) -> int:
        """Rescued files, to a bucket that has room; after a failure, not again at once: each try
        may send a whole file in vain. Blocking."""
        began = time.monotonic()
        if self.quota.full or began < self._deliver_at:
            return 0
        try:
            return rescued.deliver(self._plan, objects, may_send)
        except StorageError:
            now = time.monotonic()
            self._deliver_at = now + max(DELIVER_EVERY, (now - began) / _SCAN_SHARE)
            raise

    async def _have_forgotten(self, rclone: Rclone, file: CachedFile) -> None:
        """One read through the mount ends rclone's idea that the file is changed: it finds its
        own descriptor in the way, and drops what it has of the file."""
        await freshness.refresh_directory(rclone, file)
        with contextlib.suppress(OSError, TimeoutError):  # the first one fails
            path = self._plan.root / file.path
            await asyncio.wait_for(asyncio.to_thread(_read_a_byte, path), _PATIENCE)

    async def _try_again(self, rclone: Rclone) -> None:
        """After a failure rclone waits longer and longer; one file finds out more often."""
        failed = [upload for upload in self.sendable if upload.failed]
        paths = {upload.file.data for upload in failed}
        gone = self._failed - {upload.file.data for upload in self.waiting}
        self._failed = paths
        if gone:  # one of them went through
            await uploads.try_again(rclone, failed)
        elif failed and time.monotonic() >= self._probe_at:
            self._probe_at = time.monotonic() + PROBE_EVERY
            await uploads.try_again(rclone, [min(failed, key=lambda upload: upload.due)])

    def _refused(self) -> list[Upload]:
        return [
            upload
            for upload in self._refusals.refused(self.waiting)
            if upload.failed >= uploads.REFUSED_AFTER
        ]

    def _pending(self) -> Pending:
        data = {file.told: file.data for file in self._files}
        told = [upload.file.data for upload in self.waiting]
        waiting = [data.get(path, path) for path in told]
        stray = {*self._strays.kept, *self._strays.without_room}
        return _as_pending(Unsent.of([*waiting, *stray, *rescued.waiting(self._plan)]))

    # --- read-only

    def _is_of_some(self, upload: Upload) -> bool:
        """Whether it is refused for what does not concern everything else."""
        return self._refusals.is_quota(upload) or self._refusals.is_of_the_file(upload)

    def _reason_for_read_only(self, refused: list[Upload], is_read_only: bool) -> str:
        """Why nothing more may be written, for the person; nothing when it may."""
        if any(not self._is_of_some(upload) for upload in refused):
            return "The object store refuses your files, so your storage is read-only for now."
        if ballast.measure(self._config).is_short(was_short=is_read_only) or (
            description_disk.is_short(self._config, was_short=is_read_only)
        ):
            return "The disk of this node is full, so your storage is read-only for now."
        if sum(upload.bytes for upload in self.waiting) > self._config.agent.cache_size:
            return "Too much waits to be saved, so your storage is read-only until it is."
        return ""

    def _enforce(self, refused: list[Upload]) -> str:
        """Have the mounts themselves refuse to be written, so that a program is told at once, or
        allow it again; the reason. Blocking."""
        here = {area.mountpoint for area in self._plan.writable}
        mounted = [each for each in mount_table.below(self._plan.root) if each.path in here]
        reason = self._reason_for_read_only(refused, self._closed)
        self._closed = bool(reason)
        home, own = self._plan.home.mountpoint, self.quota.reason
        # While a file is open for writing it cannot be; the next look tries again.
        for each in mounted:
            why = reason or (own if each.path == home else "")
            if each.read_only is bool(why):
                continue
            if mount_table.set_read_only(each.path, read_only=bool(why)):
                LOG.warning("%s: %s", each.path, why or "may be written again")
        return reason or own


def _as_pending(unsent: Unsent) -> Pending:
    oldest = None if unsent.oldest is None else max(time.time() - unsent.oldest, 0)
    return Pending(unsent.files, unsent.bytes, oldest)


def _read_a_byte(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.read(descriptor, 1)
    finally:
        os.close(descriptor)
