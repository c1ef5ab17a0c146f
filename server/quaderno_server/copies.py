"""Which files exist nowhere else: not in the bucket, not in `local`, not among earlier copies.

Reading may block for as long as the storage likes, so it happens in threads that are abandoned when
the time is up. What could not be compared by then counts as existing nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaderno_server import workarea
from quaderno_server.workarea import File, Finding, printable

Json = dict[str, Any]

LISTED = 50  # files that are named in a report; all are counted
LEFT_OUT_LISTED = 20
EARLIER = 50  # directories of earlier copies that are compared with, the newest first
CHUNK = 2**20
WALK = 0.5  # the part of the time in which the file system is walked


@dataclass(frozen=True)
class Place:
    """A server's working area; `memory` is a file that remembers what was copied."""

    root: Path
    user: str
    memory: Path
    since: int
    mounts: frozenset[str]

    @classmethod
    def here(cls, environment: Mapping[str, str]) -> Place:
        """That of this container, whose environment names the user. Raises KeyError."""
        home = Path(environment.get("HOME", "/home/jovyan"))
        return cls(
            workarea.ROOT,
            environment["JUPYTERHUB_USER"],
            home / ".quaderno" / "saved.json",
            workarea.container_made(),
            workarea.mount_points(),
        )

    @property
    def bucket(self) -> Path:
        """The person's bucket."""
        return self.root / "cloud_storage" / self.user

    @property
    def saved(self) -> Path:
        """Where copies go."""
        return self.bucket / "saved"


# --- looking


def look(place: Place, within: float) -> Json:
    """What exists nowhere else: `count` and `bytes`, and the newest of the `files`.

    `storage` says whether copies could be made: `ok`, `read-only` or `away`.
    """
    deadline = time.monotonic() + within
    finding = workarea.find(place.root, place.since, place.mounts, within * WALK)
    state = ["away"]
    storage = threading.Thread(target=_look_at_storage, args=(place, state), daemon=True)
    storage.start()
    files = only_here(place, finding.files, deadline)
    storage.join(max(0.1, deadline - time.monotonic()))
    newest = sorted(files, key=lambda file: (-file.mtime, file.path))
    return {
        **sums(files),
        "files": [
            {"path": printable(file.path), "bytes": file.size, "modified": file.mtime // 10**9}
            for file in newest[:LISTED]
        ],
        **limits(finding),
        "storage": state[0],
    }


def _look_at_storage(place: Place, state: list[str]) -> None:
    try:
        if os.statvfs(place.bucket).f_flag & os.ST_RDONLY:
            state[0] = "read-only"
        elif os.access(place.bucket, os.W_OK | os.X_OK):
            state[0] = "ok"
    except OSError:
        return


def sums(files: list[File]) -> Json:
    """How many they are, and their bytes."""
    return {"count": len(files), "bytes": sum(file.size for file in files)}


def limits(finding: Finding) -> Json:
    """What a finding does not cover."""
    return {
        "left_out": [printable(path) for path in sorted(finding.left_out)[:LEFT_OUT_LISTED]],
        "unseen": len(finding.unseen),
        "complete": finding.complete,
    }


def only_here(place: Place, files: list[File], deadline: float) -> list[File]:
    """Those of `files` of which no equal copy was found before the deadline (monotonic)."""
    elsewhere: set[str] = set()

    def compare() -> None:
        remembered = _remembered(place)
        copies = _Copies(place)
        for file in sorted(files, key=lambda file: file.size):
            if _is_remembered(place, file, remembered) or copies.have(file):
                elsewhere.add(file.path)

    comparing = threading.Thread(target=compare, daemon=True)
    comparing.start()
    comparing.join(max(0.0, deadline - time.monotonic()))
    found = frozenset(elsewhere.copy())
    return [file for file in files if file.path not in found]


class _Copies:
    """Where a file's own path may hold a copy of it; lists each directory once."""

    def __init__(self, place: Place) -> None:
        try:
            earlier = sorted((entry.path for entry in os.scandir(place.saved)), reverse=True)
        except OSError:
            earlier = []
        self._place = place
        self._tops = [place.root / "local", place.bucket, *map(Path, earlier[:EARLIER])]
        self._names: dict[Path, frozenset[str]] = {}

    def have(self, file: File) -> bool:
        """Whether one of them has the bytes of `file`."""
        *parents, name = file.path.split("/")
        return any(
            name in self._listing(top, parents)
            and _same(self._place.root / file.path, top / file.path, file.size)
            for top in self._tops
        )

    def _listing(self, top: Path, parents: list[str]) -> frozenset[str]:
        """The names in a directory below `top`; none when it is not there."""
        directory = top.joinpath(*parents)
        if directory not in self._names:
            at = top
            for parent in parents:
                if parent not in self._once(at):
                    break
                at = at / parent
            self._names[directory] = self._once(directory) if at == directory else frozenset()
        return self._names[directory]

    def _once(self, directory: Path) -> frozenset[str]:
        if directory not in self._names:
            self._names[directory] = _names(directory)
        return self._names[directory]


def _names(directory: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))  # noqa: PTH208 - no paths are wanted
    except OSError:
        return frozenset()


def _same(one: Path, other: Path, size: int) -> bool:
    """Whether `other` is a regular file with the bytes of `one`."""
    try:
        status = other.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        with opened(one) as first, other.open("rb") as second:
            while True:
                chunk = first.read(CHUNK)
                if chunk != second.read(CHUNK):
                    return False
                if not chunk:
                    return True
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A regular file to read; neither a link nor a pipe that took its place. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        yield file


# --- what was copied before, by this server


def _remembered(place: Place) -> dict[str, Any]:
    try:
        found = json.loads(place.memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_remembered(place: Place, file: File, remembered: dict[str, Any]) -> bool:
    """Whether the file has not changed since it was copied, and the copy is there."""
    try:
        size, mtime, ctime, where = remembered[file.path]
        if (size, mtime, ctime) != (file.size, file.mtime, file.ctime):
            return False
        return bool((place.bucket / where / file.path).lstat().st_size == file.size)
    except (KeyError, TypeError, ValueError, OSError):
        return False


def remember(place: Place, files: list[File], where: str) -> None:
    """Write down that `files` are copied to `where`, a directory of the bucket."""
    remembered = _remembered(place)
    for file in files:
        remembered[file.path] = [file.size, file.mtime, file.ctime, where]
    # Without it, a later look compares the bytes instead.
    with contextlib.suppress(OSError):
        place.memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = place.memory.with_suffix(".new")
        new.write_text(json.dumps(remembered), encoding="utf-8")
        new.replace(place.memory)
