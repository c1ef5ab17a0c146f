"""Changed files that rclone has stopped looking after.

When a file is closed whose missing parts cannot be fetched, because the store is away, rclone
neither uploads it nor puts it into its queue, and the next one to open it deletes it from the
cache (rclone 1.75, `Item.Close` and `Item._createFile`). So such a file is copied aside soon,
completed and uploaded from the copy when the store is back, and then opened once, which makes
rclone forget its own: after that it shows the object.

One that the store refuses stays aside, holds up no other, and is tried again later and later. When
only the copy is left by then, since its owner has deleted the file, or rclone has when it was
opened, that is rescued.

A failed close leaks rclone's own descriptor, so rclone's open files do not tell whether a person
still has the file open; those of the other processes do.
"""

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import cache, repair, rescued
from quaderno.storage.cache import CachedFile, Description
from quaderno.storage.health import Refused
from quaderno.storage.mounts import Area, MountPlan
from quaderno.storage.objects import Objects
from quaderno.storage.states import REFUSED_MOST
from quaderno.storage.unrepeated import REPEATED
from quaderno.storage.uploads import REFUSED_AFTER

LOG = logging.getLogger("quaderno.agent")
STRAY_AFTER = 10.0  # seconds a file is changed, closed and in no queue
TRY_AGAIN = 2.0  # seconds after the first refusal; twice as many after each other
_SHARE_IN_VAIN = 0.02  # of the time may go into sending one file that is refused


@dataclass(frozen=True)
class Stray:
    """The copy of one file, with the description it had, and when the file was changed last."""

    file: CachedFile
    copy: Path
    description: Description | None
    changed: int  # nanoseconds


@dataclass(frozen=True)
class _Refusal:
    """How often the store has refused a file, why, and when it is asked again (monotonic)."""

    times: int
    reason: str
    again_at: float


class Strays:
    """Those of one person."""

    def __init__(self, plan: MountPlan) -> None:
        self._plan = plan
        self._since: dict[Path, tuple[int, float]] = {}  # file -> (its time, first seen so)
        self.kept: dict[Path, Stray] = {}
        self.without_room: set[Path] = set()  # files of which there is no copy yet
        self._refusals: dict[Path, _Refusal] = {}

    @property
    def refused(self) -> tuple[Refused, ...]:
        """Those that the store has refused time after time, for their owner."""
        return tuple(
            Refused(f"cloud_storage/{cache.stored_name(self.kept[data].file.path)}", refusal.reason)
            for data, refusal in self._refusals.items()
            if data in self.kept and refusal.times >= REFUSED_AFTER
        )

    def look(self, changed: list[CachedFile], queued: set[Path]) -> None:
        """Copy aside what of the changed files is not `queued`, as rclone tells it, and open
        nowhere. Blocking.

        They were found changed some time ago, and may have been uploaded since. Of what an earlier
        agent has copied, what only that copy has is rescued. Raises OSError.
        """
        kept = {stray.copy for stray in self.kept.values()}
        for copy in left(self._plan):
            if copy not in kept:
                rescued.move(self._plan, copy, str(copy.relative_to(self._plan.strays)))
        self.without_room &= {file.data for file in changed if file.told not in queued}
        candidates = self._older(changed, queued)
        if candidates:
            in_use = _open_files(self._plan)
            for file in candidates:
                if file.path not in in_use and _is_changed(file):
                    self._keep_if_there_is_room(file)

    def return_all(
        self, objects: Objects, may_send: Callable[[], bool], full: Area | None = None
    ) -> list[CachedFile]:
        """Complete and upload what is kept, as long as `may_send`, but for what is of the area
        whose bucket is `full`; the files that rclone is to forget now. Blocking.

        One that the store refuses keeps no other waiting. Raises StorageError when it does not
        answer: what is left is tried again.
        """
        returned: list[CachedFile] = []
        try:
            for stray in self.due(full):
                if not may_send():
                    break
                if _has_moved_on(stray):
                    stray.copy.unlink()  # another one is made when it has come to rest
                elif self._settle(stray, objects):
                    returned.append(stray.file)
                else:
                    continue
                self._forget(stray.file.data)
        except StorageError:
            if not returned:
                raise
        return returned

    def _forget(self, data: Path) -> None:
        del self.kept[data]
        self._since.pop(data, None)
        self._refusals.pop(data, None)

    def due(self, full: Area | None) -> list[Stray]:
        """What is kept and may be tried now; nothing of the area whose bucket is `full`."""
        now = time.monotonic()
        later = {data for data, refusal in self._refusals.items() if now < refusal.again_at}
        return [
            stray
            for data, stray in self.kept.items()
            if stray.file.area != full and data not in later
        ]

    def _settle(self, stray: Stray, objects: Objects) -> bool:
        """Whether the copy has gone where it belongs; not when the store refuses it."""
        began = time.monotonic()
        try:
            self._return(stray, objects)
        except StorageRefusedError as error:
            return self._put_off(stray, error, time.monotonic() - began)
        return True

    def _put_off(self, stray: Stray, error: StorageRefusedError, took: float) -> bool:
        """It is tried again later, unless it can be rescued; whether it is."""
        data = stray.file.data
        times = self._refusals[data].times + 1 if data in self._refusals else 1
        if times >= REFUSED_AFTER and not data.exists():
            self._rescue(stray, "is refused, and only its copy is left")
            return True
        wait = max(min(TRY_AGAIN * 2 ** (times - 1), REFUSED_MOST), took / _SHARE_IN_VAIN)
        self._refusals[data] = _Refusal(times, f"{error.message}.", time.monotonic() + wait)
        LOG.warning("%s is kept aside: %s", stray.file.path, error.message, extra=REPEATED)
        return False

    def _older(self, changed: list[CachedFile], queued: set[Path]) -> list[CachedFile]:
        """Files that have been in no queue, without any change, for STRAY_AFTER."""
        now, since, found = time.monotonic(), {}, []
        for file in changed:
            if file.told in queued:
                continue
            with suppress(OSError):
                time_ns = file.data.stat().st_mtime_ns
                seen = self._since.get(file.data)
                since[file.data] = seen if seen and seen[0] == time_ns else (time_ns, now)
                kept = self.kept.get(file.data)
                if now - since[file.data][1] >= STRAY_AFTER and not (
                    kept and kept.changed == time_ns
                ):
                    found.append(file)
        self._since = since
        return found

    def _keep_if_there_is_room(self, file: CachedFile) -> None:
        """Without room it stays where it is, and nothing else waits for it: what is uploaded makes
        room. The disk is not filled in vain each time."""
        try:
            if file.data.stat().st_blocks * 512 > shutil.disk_usage(self._plan.state).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._keep(file)
            self.without_room.discard(file.data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            LOG.warning("%s cannot be copied yet: %s", file.path, error.strerror, extra=REPEATED)
            self.without_room.add(file.data)
            self._since.pop(file.data, None)  # tried again after STRAY_AFTER

    def _keep(self, file: CachedFile) -> None:
        copy = self._plan.strays / file.path
        description = file.describe()
        cache.copy_sparse(file.data, copy, self._plan.unfinished)
        changed = copy.stat().st_mtime_ns
        self.kept[file.data] = Stray(file, copy, description, changed)
        LOG.error("rclone does not upload %s: it will be, from a copy", file.path)

    def _return(self, stray: Stray, objects: Objects) -> None:
        file, plan = stray.file, self._plan
        object_ = objects.head(file.area.bucket, file.key)
        whole = repair.complete(plan, file, stray.copy, stray.description, object_, objects)
        copy = replace(file, data=stray.copy)
        replaced = object_ is not None and repair.is_another(
            copy, stray.description, object_, objects
        )
        if whole and not replaced and _is_current(stray, in_store=object_ is not None):
            objects.put(file.area.bucket, file.key, stray.copy)
            stray.copy.unlink()
        else:
            self._rescue(stray, "has been changed since")

    def _rescue(self, stray: Stray, why: str) -> None:
        rescued.move(self._plan, stray.copy, stray.file.path)
        LOG.warning("%s %s: the lost change is rescued", stray.file.path, why)


def rescue_left(plan: MountPlan) -> None:
    """Copies that an earlier agent left, when the cache does not have the same: rescued.

    Before the cache is repaired. Raises OSError.
    """
    for copy in left(plan):
        rescued.move(plan, copy, str(copy.relative_to(plan.strays)))
    for copy in _copies(plan):
        copy.unlink()


def left(plan: MountPlan) -> list[Path]:
    """Copies of what the cache does not have any more."""
    return [copy for copy in _copies(plan) if not _is_in_cache(plan, copy)]


def _copies(plan: MountPlan) -> list[Path]:
    return [path for path in plan.strays.rglob("*") if path.is_file()]


def _is_in_cache(plan: MountPlan, copy: Path) -> bool:
    path = copy.relative_to(plan.strays)
    for area in plan.writable:
        if path.is_relative_to(area.shown):
            data = cache.data_root(plan, area) / path.relative_to(area.shown)
            with suppress(OSError):
                return data.stat().st_mtime_ns == copy.stat().st_mtime_ns
    return False


def _is_changed(file: CachedFile) -> bool:
    """Whether it is still so now; what cannot be read may be."""
    description = file.describe()
    return file.data.exists() and (description is None or description.dirty)


def _has_moved_on(stray: Stray) -> bool:
    """Whether the file is still changed, but not as it was: by its owner, or by rclone, which may
    go on fetching parts of it."""
    description = stray.file.describe()
    if description is not None and not description.dirty:
        return False
    try:
        return stray.file.data.stat().st_mtime_ns != stray.changed
    except FileNotFoundError:
        return False


def _is_current(stray: Stray, *, in_store: bool) -> bool:
    """Whether nobody has changed the file since, or deleted it."""
    try:
        return stray.file.data.stat().st_mtime_ns == stray.changed
    except FileNotFoundError:
        return in_store  # opened since, whereupon rclone dropped its own


def _open_files(plan: MountPlan) -> set[str]:
    """Paths below `cloud_storage` of all files that any process has open or mapped.

    A container's paths begin otherwise than this node's, but end the same.
    """
    found: set[str] = set()
    tops = {f"/{area.shown}/" for area in plan.writable}
    rclones_own = (str(plan.state), str(plan.descriptions))
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            for path in _paths(process):
                if not path.startswith(rclones_own):
                    found.update(_endings(path, tops))
    return found


def _endings(path: str, tops: set[str]) -> Iterator[str]:
    for top in tops:
        start = path.find(top)
        while start >= 0:
            yield path[start + 1 :]
            start = path.find(top, start + 1)


def _paths(process: Path) -> set[str]:
    paths = set()
    with suppress(OSError):
        for descriptor in os.scandir(process / "fd"):
            with suppress(OSError):
                paths.add(os.readlink(descriptor.path))  # noqa: PTH115 - what it says, not resolved
    with suppress(OSError):
        for line in (process / "maps").read_text(errors="surrogateescape").splitlines():
            fields = line.split(maxsplit=5)
            if len(fields) == 6 and fields[5].startswith("/"):
                paths.add(fields[5])
    return paths
