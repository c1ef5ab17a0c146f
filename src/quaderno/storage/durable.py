"""Files of this node's own that are whole at every moment, and on the disk before they are relied
on: the end of a process, and of the machine's power, leave the old content or the new one.

A new name is on the disk when its directory is (fsync(2)), so that is synced, too.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def replace(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a short file. Raises OSError.

    A disk without a free block keeps nobody from going on: what says the same stays, and what fits
    into the blocks of the old file is written over it, with blanks up to its end.
    """
    data, before = text.encode(), _content(path)
    if before is not None and before.rstrip() == data.rstrip():
        return
    new = path.with_name(path.name + ".new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            _write(file.fileno(), data)
    except OSError as error:
        new.unlink(missing_ok=True)
        if error.errno != errno.ENOSPC or before is None or len(data) > _room(path):
            raise
        with path.open("r+b") as file:
            _write(file.fileno(), data.ljust(len(before)))
    else:
        rename(new, path)


@contextmanager
def appearing(target: Path, unfinished: Path) -> Iterator[BinaryIO]:
    """A file to be written, which is `target` at the end of the block, and nothing before. Until
    then it is in the directory `unfinished` of the same file system. Raises OSError.
    """
    make_directory(unfinished)
    new = unfinished / f"{secrets.token_hex(8)}.new"  # short: a file's own may be of any length
    try:
        with new.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        make_directory(target.parent)
        rename(new, target)
    finally:
        new.unlink(missing_ok=True)


def move(path: Path, target: Path) -> None:
    """Give a file another place on the same file system, whoever wrote it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    make_directory(target.parent)
    rename(path, target)


def rename(path: Path, target: Path) -> None:
    """The content is on the disk already. Raises OSError."""
    path.replace(target)
    sync_directory(target.parent)


def make_directory(path: Path) -> None:
    """It and those above it exist, on the disk, too; closed to others. Raises OSError."""
    if not path.is_dir():
        make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """The names in it are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _room(path: Path) -> int:
    """Bytes of the blocks that a file has."""
    return path.stat().st_blocks * 512


def _write(descriptor: int, data: bytes) -> None:
    """All of it: a disk that becomes full takes a part first (write(2))."""
    while data:
        data = data[os.write(descriptor, data) :]
    os.fsync(descriptor)
