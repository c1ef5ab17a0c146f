"""rclone's disk cache as it lies on the disk: what is there, what is changed, what is missing.

For each cached file there are its data, below `vfs`, and a description of the same name, below
`vfsMeta`. The data file is sparse: what was neither fetched nor written is a hole. The description
says which parts are there and whether the file is changed ("dirty": not in the object store yet);
rclone writes it in place, when a file is opened, at its first change, and when it is closed or
synced. After a crash it may therefore be cut off, and the parts it names are those of some moment
before the crash (rclone 1.75, `vfs/vfscache/item.go`).
"""

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from quaderno.storage import durable
from quaderno.storage.mounts import Area, MountPlan

Span = tuple[int, int]  # from the first byte to the one after the last
_DATA, _DESCRIPTIONS = "vfs", "vfsMeta"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_COPY_AT_ONCE = 1 << 20  # bytes


@dataclass(frozen=True)
class Description:
    """What rclone knows of a cached file; `parts` are there, `size` was its size at that moment."""

    size: int
    parts: tuple[Span, ...]
    dirty: bool
    fields: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """None when it is missing, cut off or not a description."""
        try:
            fields = json.loads(path.read_bytes())
            parts = tuple((p["Pos"], p["Pos"] + p["Size"]) for p in fields["Rs"] or ())
            size, dirty = fields["Size"], fields["Dirty"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not isinstance(dirty, bool) or not isinstance(size, int):
            return None
        return cls(size, parts, dirty, fields)


@dataclass(frozen=True)
class CachedFile:
    """A file of a writable area; `name` is its path in the area, and in the bucket's prefix."""

    area: Area
    name: str
    data: Path
    meta: Path

    @property
    def key(self) -> str:
        """Of its object."""
        name = stored_name(self.name)
        return f"{self.area.prefix}/{name}" if self.area.prefix else name

    @property
    def path(self) -> str:
        """Where its owner sees it, below `cloud_storage`."""
        return str(self.area.shown / self.name)

    @property
    def told(self) -> Path:
        """`data` as rclone tells it, in JSON, where each byte that is no text is U+FFFD."""
        return Path(_NOT_UTF8.sub("\N{REPLACEMENT CHARACTER}", str(self.data)))

    def describe(self) -> Description | None:
        """The description as it is now."""
        return Description.read(self.meta)

    def describe_as_changed(self) -> None:
        """Have rclone take the whole data file for changed and complete, and upload it.

        Atomic. Raises OSError.
        """
        old, status = self.describe(), self.data.stat()
        changed = datetime.fromtimestamp(status.st_mtime, UTC).isoformat()
        fields: dict[str, Any] = {"ModTime": changed, "ATime": changed, "Fingerprint": ""}
        fields |= old.fields if old else {}
        parts = [{"Pos": 0, "Size": status.st_size}] if status.st_size else None
        fields |= {"Size": status.st_size, "Rs": parts, "Dirty": True}
        with durable.appearing(self.meta, self.meta.parent) as file:
            file.write(json.dumps(fields).encode())

    def remove(self) -> None:
        """Take it out of the cache. Raises OSError."""
        self.data.unlink(missing_ok=True)
        self.meta.unlink(missing_ok=True)


@dataclass(frozen=True)
class Unsent:
    """Changed files that are not in the object store: how many, their bytes, the oldest one's
    change (Unix seconds)."""

    files: int
    bytes: int
    oldest: float | None

    @classmethod
    def of(cls, files: Iterable[Path]) -> Self:
        """Of changed files' data; those that vanish meanwhile have been uploaded."""
        sizes, times = [], []
        for file in files:
            with suppress(OSError):
                status = file.stat()
                sizes.append(status.st_size)
                times.append(status.st_mtime)
        return cls(len(sizes), sum(sizes), min(times, default=None))


class Changed:
    """Finds the changed files again and again; reads only the descriptions that are new."""

    def __init__(self, plan: MountPlan) -> None:
        self._plan = plan
        self._seen: dict[Path, tuple[int, int, bool]] = {}

    def files(self) -> list[CachedFile]:
        """Files that are changed, or whose description cannot be read: it may be of such a one.

        Blocking.
        """
        seen, found = {}, []
        lost = [area for area in self._plan.writable if _leads_nowhere(self._plan, area)]
        for file in files(self._plan):
            try:
                status = file.meta.stat()
            except OSError:
                if file.area in lost:
                    found.append(file)
                continue  # uploaded and forgotten since the directory was listed
            known = self._seen.get(file.meta)
            if known is None or known[:2] != (status.st_mtime_ns, status.st_size):
                description = file.describe()
                dirty = description is None or description.dirty
                known = (status.st_mtime_ns, status.st_size, dirty)
            seen[file.meta] = known
            if known[2] and file.data.exists():
                found.append(file)
        self._seen = seen
        return found


def files(plan: MountPlan) -> Iterator[CachedFile]:
    """Everything in the cache of the writable areas, data and descriptions without the other
    included."""
    for area in plan.writable:
        data, metas = data_root(plan, area), description_root(plan, area)
        for name in sorted({*_names(data), *_names(metas)}):
            yield CachedFile(area, name, data / name, metas / name)


def stored_name(name: str) -> str:
    """As rclone calls the file in a store, where names are UTF-8: of bytes that are none, the
    digits (rclone's overview, "Invalid UTF-8 bytes"). Python has them as lone surrogates."""
    return _NOT_UTF8.sub(lambda found: f"\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}"
                         f"{ord(found[0]) - 0xDC00:02X}", name)  # fmt: skip


def used_directories(plan: MountPlan, area: Area, most: int) -> set[str]:
    """Paths in the area of the directories that have cached files, those used last, and of all
    above them. Blocking."""
    root, used = description_root(plan, area), {}
    for parent, _, names in os.walk(root):
        times = []
        for name in names:
            with suppress(OSError):  # uploaded and forgotten since
                times.append(Path(parent, name).stat().st_mtime)
        if times:
            used[Path(parent).relative_to(root)] = max(times)
    latest = sorted(used, key=lambda path: used[path], reverse=True)[:most]
    return {str(path) for each in latest for path in (each, *each.parents)} - {"."}


def drop(plan: MountPlan, area: Area) -> None:
    """Forget all that is cached of an area in which nothing can be changed. Blocking."""
    for kind in (_DATA, _DESCRIPTIONS):
        shutil.rmtree(plan.cache / kind / area.name, ignore_errors=True)


def data_root(plan: MountPlan, area: Area) -> Path:
    """Where the data of an area are cached; rclone names the directory after the remote."""
    return _root(plan, area, _DATA)


def description_root(plan: MountPlan, area: Area) -> Path:
    """Where their descriptions are."""
    return _root(plan, area, _DESCRIPTIONS)


def area_descriptions(plan: MountPlan, area: Area) -> Path:
    """The directory of an area's descriptions, which may be a link to another disk."""
    return plan.cache / _DESCRIPTIONS / area.name


def _leads_nowhere(plan: MountPlan, area: Area) -> bool:
    """Whether the disk of its descriptions is not there."""
    directory = area_descriptions(plan, area)
    return directory.is_symlink() and not directory.exists()


def spans(descriptor: int, size: int) -> Iterator[Span]:
    """The parts of a sparse file that are no holes, by the file system's blocks (lseek(2))."""
    position = 0
    while position < size:
        try:
            start = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError:  # ENXIO: only a hole from here on
            return
        position = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, min(position, size)


def subtract(whole: Span, parts: list[Span]) -> Iterator[Span]:
    """What of `whole` is in none of `parts`."""
    position, end = whole
    for start, stop in sorted(parts):
        if start > position:
            yield position, min(start, end)
        position = max(position, stop)
        if position >= end:
            return
    if position < end:
        yield position, end


def copy_sparse(source: Path, target: Path, unfinished: Path) -> None:
    """Copy data, holes and modification time; `target` appears whole or not at all, and until then
    the copy is in the directory `unfinished`. Raises OSError.
    """
    with source.open("rb") as old, durable.appearing(target, unfinished) as file:
        status = os.fstat(old.fileno())
        for start, end in spans(old.fileno(), status.st_size):
            while start < end:
                count = min(end - start, _COPY_AT_ONCE)
                start += os.pwrite(file.fileno(), os.pread(old.fileno(), count, start), start)
        file.truncate(status.st_size)
        os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _root(plan: MountPlan, area: Area, kind: str) -> Path:
    return plan.cache / kind / area.name / area.bucket / area.prefix


def _names(directory: Path) -> Iterator[str]:
    """Paths of the files below `directory`; what vanishes meanwhile is left out."""
    for parent, _, names in os.walk(directory):
        for name in names:
            yield str(Path(parent, name).relative_to(directory))
