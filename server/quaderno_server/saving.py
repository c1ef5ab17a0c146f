"""Copies what would be lost into the person's bucket: `cloud_storage/<user>/saved/<time>/`.

A copy is written beside its place, read again, and only then given its name, so that what has a
name is whole. A directory of its own for each time means that nothing is ever overwritten. Small
files go first: most of what people have written themselves is small, and most of it then fits.

Writing may block for as long as the storage likes. It happens in a thread that is abandoned when
the time is up; what it had done by then is in the report.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from quaderno_server import workarea
from quaderno_server.copies import (
    CHUNK,
    LISTED,
    WALK,
    Json,
    Place,
    limits,
    only_here,
    opened,
    remember,
    sums,
)
from quaderno_server.workarea import File, printable

TRIES = 3  # to copy a file that changes meanwhile
# What is true of the storage and not of one file: no other file would fare better.
_STORAGE_ERRORS = {
    errno.EROFS: "read-only",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.ENOTCONN: "away",
    errno.ESTALE: "away",
}
# What is wrong with one file's name: it has bytes, or a length, that the storage does not take.
_NAME_ERRORS = (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG)


def save(place: Place, most: int | None, within: float) -> Json:
    """Copy what exists nowhere else, up to `most` bytes, in `within` seconds; says what was done.

    Files that are `left` have a reason each: `limit` (beyond `most`), `storage` (which is then
    `read-only`, `full` or `away`), `time`, `name` (which the storage does not take) or
    `unreadable`. `changing` counts copies of files that something was writing to all the while.
    """
    deadline = time.monotonic() + within
    with _alone(place, deadline):
        finding = workarea.find(place.root, place.since, place.mounts, within * WALK)
        files = only_here(place, finding.files, time.monotonic() + within * WALK / 2)
        copying = _Copying(place, files, most)
        copying.run(deadline)
    return {**copying.report(), **limits(finding)}


@contextlib.contextmanager
def _alone(place: Place, deadline: float) -> Iterator[None]:
    """One at a time, so that nothing is copied twice; who waited too long goes on regardless."""
    try:
        place.memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(place.memory.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(0.05)
        yield
    finally:
        os.close(lock)


class UnreadableError(Exception):
    """A file of the person's cannot be read."""


class _Copying:
    """Copies of `files` in a new directory, which is made for the first of them."""

    def __init__(
        self,
        place: Place,
        files: list[File],
        most: int | None,
    ) -> None:
        self._place = place
        self._files = sorted(files, key=lambda file: (file.size, file.path))
        self._room = sum(file.size for file in files) if most is None else most
        self._lock = threading.Lock()
        self._ended = False
        self._directory: Path | None = None
        self._copied: list[File] = []
        self._left: list[tuple[File, str]] = []
        self._changing = 0
        self._storage = "ok"

    def run(self, deadline: float) -> None:
        """Until all is done, or the time (monotonic) is up."""
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._ended = True
            told = {file.path for file in self._copied} | {file.path for file, _ in self._left}
            self._left += [(file, "time") for file in self._files if file.path not in told]
        if self._directory and self._copied:
            where = self._directory.relative_to(self._place.bucket).as_posix()
            remember(self._place, self._copied, where)

    def _work(self) -> None:
        for file in self._files:
            reason = self._one(file)
            with self._lock:
                if self._ended:
                    return
                if reason:
                    self._left.append((file, reason))
                else:
                    self._copied.append(file)

    def _one(self, file: File) -> str:
        """Why the file is left, empty when it is not."""
        if file.size > self._room:
            return "limit"
        if self._storage != "ok":
            return "storage"
        try:
            changing = _copy(self._place.root / file.path, self._target(file))
        except UnreadableError:
            return "unreadable"
        except OSError as error:
            return self._failed(error)
        self._room -= file.size
        self._changing += changing
        return ""

    def _target(self, file: File) -> Path:
        if self._directory is None:
            self._directory = _new_directory(self._place.saved)
        target = self._directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _failed(self, error: OSError) -> str:
        if self._directory and error.errno in _NAME_ERRORS:
            return "name"
        self._storage = _STORAGE_ERRORS.get(error.errno or 0, "ok")
        if self._directory is None and self._storage == "ok":
            self._storage = "away"  # not even the directory could be made
        return "storage"

    def report(self) -> Json:
        """What was done, for people and for the hub."""
        left = sorted(self._left, key=lambda one: (-one[0].mtime, one[0].path))
        where = self._directory if self._copied else None
        return {
            "directory": where.relative_to(self._place.root).as_posix() if where else None,
            "copied": sums(self._copied),
            "changing": self._changing,
            "left": {
                **sums([file for file, _ in left]),
                "files": [
                    {"path": printable(file.path), "bytes": file.size, "reason": reason}
                    for file, reason in left[:LISTED]
                ],
            },
            "failed": sum(reason in ("storage", "time") for _, reason in left),
            "storage": self._storage,
        }


def _new_directory(saved: Path) -> Path:
    """A directory named after this minute that was not there before. Raises OSError."""
    saved.mkdir(exist_ok=True)
    minute = time.strftime("%Y-%m-%dT%H%M")
    for number in range(1, 1000):
        directory = saved / (minute if number == 1 else f"{minute}-{number}")
        try:
            directory.mkdir()
        except FileExistsError:
            continue
        return directory
    raise OSError(errno.EEXIST, "no name is left")


def _copy(source: Path, target: Path) -> bool:
    """A whole, verified copy at `target` with the time of `source`; True when that kept changing.

    Raises UnreadableError for the source, OSError for the target.
    """
    new = target.with_name(f".quaderno-{secrets.token_hex(6)}")
    try:
        for attempt in range(1, TRIES + 1):
            changed, mtime, digest = _write(source, new)
            if not changed or attempt == TRIES:
                break
        if _digest(new) != digest:
            raise OSError(errno.EIO, "what was written reads differently")
        os.utime(new, ns=(mtime, mtime))
        new.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    return changed


def _write(source: Path, new: Path) -> tuple[bool, int, bytes]:
    """Whether the source changed meanwhile, its time, and the digest of what was written."""
    total = hashlib.sha256()
    with _reading(source) as file, new.open("wb") as copy:
        before = os.fstat(file.fileno())
        while chunk := _read(file.read):
            total.update(chunk)
            copy.write(chunk)
        after = os.fstat(file.fileno())
    changed = any(
        getattr(before, name) != getattr(after, name)
        for name in ("st_size", "st_mtime_ns", "st_ctime_ns")
    )
    return changed, after.st_mtime_ns, total.digest()


@contextlib.contextmanager
def _reading(source: Path) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(opened(source))
        except OSError as error:
            raise UnreadableError(str(error)) from error
        yield file


def _read(read: Callable[[int], bytes]) -> bytes:
    try:
        return read(CHUNK)
    except OSError as error:
        raise UnreadableError(str(error)) from error


def _digest(path: Path) -> bytes:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            total.update(chunk)
    return total.digest()
