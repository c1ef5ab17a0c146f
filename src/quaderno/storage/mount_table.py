"""This host's mounts: what is mounted below a directory, sharing, unmounting (mount(2))."""

import asyncio
import contextlib
import ctypes
import errno
import os
import re
import select
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT = 1, 2, 4, 32
_MNT_DETACH, _UMOUNT_NOFOLLOW = 2, 8
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A line of /proc/self/mountinfo (proc(5))."""

    path: Path
    file_system: str
    shared: bool
    read_only: bool = False  # the file system itself, wherever else it is mounted


def below(directory: Path) -> list[Mount]:
    """The mounts at or below `directory` (never `/`), in the order in which they were made."""
    text = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    # This is asked often, and most of a machine's mounts are somewhere else.
    inside = f"{directory}/"
    return [parse_line(line) for line in text.splitlines() if f"{_path(line)}/".startswith(inside)]


@contextlib.contextmanager
def watching(changed: Callable[[], None]) -> Iterator[None]:
    """Call `changed` in the running event loop after each change of this host's mounts.

    The kernel tells who polls the table for exceptional events (proc(5), mountinfo). The table is
    always readable, so the loop watches an epoll that waits for these events only.
    """
    loop = asyncio.get_running_loop()
    with Path("/proc/self/mountinfo").open("rb") as table, select.epoll() as events:
        events.register(table, select.EPOLLPRI)

        def tell() -> None:
            events.poll(0)
            changed()

        loop.add_reader(events.fileno(), tell)
        try:
            yield
        finally:
            loop.remove_reader(events.fileno())


def parse_line(line: str) -> Mount:
    """One line of mountinfo; spaces in paths are written as octal escapes."""
    before, _, after = line.partition(" - ")
    shared = any(field.startswith("shared:") for field in before.split(" ")[6:])
    file_system, _source, options = after.split(" ", 2)
    return Mount(Path(_path(line)), file_system, shared, "ro" in options.rstrip().split(","))


def _path(line: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), line.split(" ", 5)[4])


def make_shared(directory: Path) -> None:
    """Let mounts made below `directory` appear in containers that already bind part of it.

    Idempotent; the mount must stay as long as any of them runs. Raises OSError.
    """
    here = [mount for mount in below(directory) if mount.path == directory]
    if not here:
        _mount(directory, directory, _MS_BIND)
    if not (here and here[-1].shared):
        _mount(None, directory, _MS_SHARED | _MS_REC)


def unmount_all(directory: Path) -> None:
    """Detach every mount below `directory` at once, even if it is broken.

    Outer ones first, which takes what is nested with them: a mount inside a broken one cannot be
    reached by its path.
    """
    for mount in below(directory):
        if mount.path != directory:
            unmount(mount.path, lazy=True)


def unmount(path: Path, *, lazy: bool = False) -> bool:
    """Unmount `path`; `lazy` detaches it now and lets open files be. False when it is in use."""
    flags = _UMOUNT_NOFOLLOW | (_MNT_DETACH if lazy else 0)
    if _LIBC.umount2(os.fsencode(path), flags) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOENT):  # not a mount point any more
        return True
    if code == errno.EBUSY:
        return False
    raise OSError(code, os.strerror(code), str(path))


def set_read_only(path: Path, *, read_only: bool) -> bool:
    """Have a FUSE mount refuse to be written (EROFS), in every container too, or allow it again.

    False while a file is open for writing there. Idempotent. Raises OSError.
    """
    flags = _MS_REMOUNT | _MS_NOSUID | _MS_NODEV | (_MS_RDONLY if read_only else 0)
    try:
        _mount(None, path, flags)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True


def _mount(source: Path | None, target: Path, flags: int) -> None:
    origin = None if source is None else os.fsencode(source)
    if _LIBC.mount(origin, os.fsencode(target), None, ctypes.c_ulong(flags), None) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))
