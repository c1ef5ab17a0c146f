"""The descriptions of cached files, on a file system of their own that nothing else can fill.

rclone writes a file's description anew whenever the file is opened, and when it cannot, deletes
what it has of the file: on a full disk, a look at work that is not uploaded yet would be its end.
So the descriptions of writable areas lie in an image file whose blocks are all taken beforehand.
Its blocks outnumber its inodes, so that what runs out first is the number of descriptions: then no
other file can be opened, but every description that is there can still be written.

rclone follows a symbolic link from its cache, one for each area. The disk stays mounted when the
agent ends, as the mounts do. Where it cannot be had, the descriptions stay in the cache.
"""

import logging
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import cache, mount_table, mounts
from quaderno.storage.mounts import MountPlan

LOG = logging.getLogger("quaderno.agent")
PROGRAMS = ("mkfs.ext4", "e2fsck", "resize2fs", "losetup", "mount")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SHORT = 0.1  # of the disk's descriptions: when fewer can still be made, nobody may write
_EASE = 1.2  # how many more until writing is allowed again
_SMALL_DISK = 0.05  # at most this part of the cache's disk
_BLOCK, _BYTES_PER_FILE = 1024, 2048  # mke2fs(8); a description has some 300 bytes
# Nothing of the image may become a hole again, neither now nor when somebody trims all disks.
_MKFS = "nodiscard,lazy_itable_init=0,lazy_journal_init=0"
_OPTIONS = "loop,noatime,nodev,nosuid,noexec,noinit_itable"
_FSCK_MENDED = (0, 1)  # e2fsck(8): nothing to do, or all done
_PATIENCE = 300.0  # seconds for a program that makes, checks or mounts it


def image(config: Config) -> Path:
    """The file that is the disk."""
    return config.dir / "agent" / "descriptions.img"


def is_mounted(config: Config) -> bool:
    """Whether the disk is where the descriptions are looked for."""
    place = mounts.descriptions_directory(config)
    return any(mount.path == place for mount in mount_table.below(place))


def ensure(config: Config) -> bool:
    """The disk is made, in order, and mounted; whether that is so now. Idempotent; blocking."""
    if is_mounted(config):
        return True
    try:
        _bring_up(config)
    except (OSError, StorageError, subprocess.TimeoutExpired) as error:
        LOG.warning("The descriptions of cached files have no disk of their own: %s", error)
        return False
    return True


def unmount(config: Config) -> None:
    """Take it away, when no rclone runs any more. Raises OSError."""
    if is_mounted(config):
        mount_table.unmount(mounts.descriptions_directory(config))


def place(config: Config, plan: MountPlan) -> None:
    """Have rclone find a person's descriptions on the disk; those in the cache move there.

    No rclone may use the cache. Without the disk, the links to it go: what it holds is out of
    reach then, and the repair makes new descriptions. Idempotent. Raises OSError.
    """
    mounted = is_mounted(config)
    for area in plan.writable:
        link, target = cache.area_descriptions(plan, area), plan.descriptions / area.name
        if mounted:
            _lead(link, target)
        elif link.is_symlink():
            LOG.warning("%s cannot be reached; what is missing will be made anew", target)
            link.unlink()


def is_short(config: Config, *, was_short: bool) -> bool:
    """Whether so few descriptions can still be made that nobody may write. Raises OSError."""
    if not is_mounted(config):
        return False
    usage = os.statvfs(mounts.descriptions_directory(config))
    needed = SHORT * (_EASE if was_short else 1)
    return usage.f_ffree < usage.f_files * needed or usage.f_bfree < usage.f_blocks * needed


def warning(config: Config) -> str:
    """What an operator should know of it; nothing when all is well."""
    if not is_mounted(config):
        return (
            "The descriptions of cached files have no disk of their own, so a full disk can lose "
            "files that are not uploaded: see `quaderno check` and the agent's log"
        )
    if is_short(config, was_short=False):
        return "The disk of the descriptions of cached files is full: raise agent.description_disk"
    return ""


# --- the image


def _bring_up(config: Config) -> None:
    file, place = image(config), mounts.descriptions_directory(config)
    size = _size(config)
    place.mkdir(mode=0o700, exist_ok=True)
    if not file.exists():
        _make(file, size)
    elif not _devices(file):  # else it is mounted out of sight, and mounted once more below
        _check(file, size)
    _run("mount", "-t", "ext4", "-o", _OPTIONS, str(file), str(place))
    place.chmod(0o700)
    for device in _devices(file):
        with suppress(OSError):  # where /sys is read-only
            Path("/sys/block", device.name, "queue/discard_max_bytes").write_text("0")


def _size(config: Config) -> int:
    disk = shutil.disk_usage(config.dir / "agent")
    size = min(config.agent.description_disk, int(disk.total * _SMALL_DISK))
    return size // _BLOCK * _BLOCK


def _make(file: Path, size: int) -> None:
    """A new, empty one; there is none or the whole of it."""
    new = file.with_suffix(".new")
    try:
        _allocate(new, size)
        shape = ("-b", str(_BLOCK), "-i", str(_BYTES_PER_FILE), "-m", "0", "-E", _MKFS)
        _run("mkfs.ext4", "-q", "-F", *shape, str(new))
        _allocate(new, size)
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _check(file: Path, size: int) -> None:
    """Mend what a crash left, and grow to `size`; one beyond repair is made anew."""
    try:
        if _run("e2fsck", "-p", str(file), accept=None).returncode not in _FSCK_MENDED:
            _run("e2fsck", "-f", "-y", str(file), accept=_FSCK_MENDED)
    except StorageError as error:
        LOG.error("%s: it is made anew, and so are the descriptions", error)
        _make(file, size)
    if file.stat().st_size < size:
        _allocate(file, size)
        _run("e2fsck", "-f", "-p", str(file), accept=_FSCK_MENDED)
        _run("resize2fs", str(file))
    _allocate(file, file.stat().st_size)  # what it has always had, on a disk that kept holes


def _allocate(file: Path, size: int) -> None:
    """Take the blocks of the whole file, keeping what is in them."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _devices(file: Path) -> list[Path]:
    """Loop devices that show the image, even where its mount is out of sight."""
    found = _run("losetup", "--noheadings", "--output", "NAME", "--associated", str(file))
    return [Path(line.strip()) for line in found.stdout.splitlines()]


def _run(*command: str, accept: tuple[int, ...] | None = (0,)) -> subprocess.CompletedProcess[str]:
    """A program to its end. Raises StorageError when its status is none of `accept`, and
    OSError when there is no such program."""
    result = subprocess.run(
        command,
        env={"PATH": PATH, "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
        timeout=_PATIENCE,
    )
    if accept is not None and result.returncode not in accept:
        said = " ".join(result.stdout.split()) or f"exit status {result.returncode}"
        raise StorageError(f"{command[0]} of {command[-1]}: {said}")
    return result


# --- the links


def _lead(link: Path, target: Path) -> None:
    """`link` leads to `target`; a directory in its place is the truth, and moves there whole."""
    moved = link.with_name(f"{link.name}.moved")
    if link.is_dir() and not link.is_symlink():
        _copy_whole(link, target)
        shutil.rmtree(moved, ignore_errors=True)
        link.rename(moved)
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not link.is_symlink() or link.readlink() != target:
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    shutil.rmtree(moved, ignore_errors=True)


def _copy_whole(source: Path, target: Path) -> None:
    """In place of whatever `target` was; on the disk before it has its name."""
    new = target.with_name(f"{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(source, new)
    os.sync()
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
