"""Project quotas of ext4 and xfs: how much the files of one directory may hold, as the kernel sees
it (quotactl_fd(2), ioctl_xfs_fsgetxattr(2); linux/quota.h, linux/dqblk_xfs.h, linux/fs.h).

A file belongs to a project by a number; what is made in a directory with the flag PROJINHERIT
gets the directory's. Unlike a quota of users, it tells apart people who all are 1000 in their
servers. It keeps accidents off, and is no wall: the owner of a file may give it another number.
"""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_SYS_QUOTACTL_FD = 443  # on every architecture, since Linux 5.14
_PROJECT = 2  # the type of quota
_GET, _SET, _STATE = 0x800007, 0x800008, 0x5805
_ENFORCED = 1 << 5
_LIMITS = struct.Struct("@8QI4x")  # struct if_dqblk; limits in KiB, use in bytes
_LIMITS_VALID = 1
_STATE_SIZE = 256  # bytes; more than struct fs_quota_stat
_FLAGS = struct.Struct("@bH")  # the begin of it
_ATTRIBUTES = struct.Struct("@5I8x")  # struct fsxattr
_GET_ATTRIBUTES, _SET_ATTRIBUTES = 0x801C581F, 0x401C5820
_INHERIT = 0x200
_NOT_THERE = (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.ESRCH, errno.EINVAL)


@dataclass(frozen=True)
class Limit:
    """Bytes; a `limit` of 0 is none."""

    limit: int
    used: int


def enforced(directory: Path) -> bool:
    """Whether the file system of `directory` has project quotas and enforces them."""
    answer = ctypes.create_string_buffer(_STATE_SIZE)
    descriptor = _open(directory)
    try:
        _quotactl(descriptor, _STATE, 0, answer)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    flags: int = _FLAGS.unpack_from(answer)[1]
    return bool(flags & _ENFORCED)


def project(directory: Path) -> int:
    """The number of the project that what is made in `directory` belongs to; 0: none.

    Raises OSError.
    """
    descriptor = _open(directory)
    try:
        flags, _, _, number, _ = _attributes(descriptor)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return 0
        raise
    finally:
        os.close(descriptor)
    return number if flags & _INHERIT else 0


def put(directory: Path, number: int) -> None:
    """Have what is made in `directory` from now on belong to project `number`. Raises OSError."""
    descriptor = _open(directory)
    try:
        _put(descriptor, number, inherit=True)
    finally:
        os.close(descriptor)


def put_all(directory: Path, number: int) -> None:
    """The same with what is there already.

    Follows no link, and opens nothing but files and directories. Blocking. Raises OSError.
    """
    for _, _, names, parent in os.fwalk(directory, follow_symlinks=False):
        _put(parent, number, inherit=True)
        for name in names:
            _put_file(name, parent, number)


def limit(directory: Path, number: int) -> Limit:
    """Of a project, and what it holds. Raises OSError."""
    answer = ctypes.create_string_buffer(_LIMITS.size)
    descriptor = _open(directory)
    try:
        _quotactl(descriptor, _GET, number, answer)
    finally:
        os.close(descriptor)
    hard, _, used, *_ = _LIMITS.unpack(answer.raw)
    return Limit(hard * 1024, used)


def set_limit(directory: Path, number: int, size: int) -> None:
    """Have a project hold `size` bytes at most, rounded up to KiB; 0: no limit. Raises OSError."""
    hard = -(-size // 1024)
    wanted = _LIMITS.pack(hard, 0, 0, 0, 0, 0, 0, 0, _LIMITS_VALID)
    descriptor = _open(directory)
    try:
        _quotactl(descriptor, _SET, number, ctypes.create_string_buffer(wanted, _LIMITS.size))
    finally:
        os.close(descriptor)


def _open(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _put_file(name: str, parent: int, number: int) -> None:
    try:
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode):
            return
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    except OSError:
        return  # it is gone, or became something else
    try:
        _put(file, number, inherit=False)
    finally:
        os.close(file)


def _put(descriptor: int, number: int, *, inherit: bool) -> None:
    flags, extent, extents, found, copy = _attributes(descriptor)
    wanted = flags | (_INHERIT if inherit else 0)
    if (flags, found) != (wanted, number):
        attributes = _ATTRIBUTES.pack(wanted, extent, extents, number, copy)
        fcntl.ioctl(descriptor, _SET_ATTRIBUTES, attributes)


def _attributes(descriptor: int) -> tuple[int, int, int, int, int]:
    answer = fcntl.ioctl(descriptor, _GET_ATTRIBUTES, bytes(_ATTRIBUTES.size))
    flags, extent, extents, number, copy = _ATTRIBUTES.unpack(answer)
    return flags, extent, extents, number, copy


def _quotactl(
    descriptor: int, command: int, number: int, buffer: "ctypes.Array[ctypes.c_char]"
) -> None:
    code = ctypes.c_uint(command << 8 | _PROJECT)
    call = (ctypes.c_long(_SYS_QUOTACTL_FD), ctypes.c_uint(descriptor), code)
    if _LIBC.syscall(*call, ctypes.c_uint(number), buffer) != 0:
        found = ctypes.get_errno()
        raise OSError(found, os.strerror(found))
