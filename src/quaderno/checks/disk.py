"""The disk, and the state directory on it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from quaderno import host
from quaderno.checks.finding import Finding, error, warning
from quaderno.config import Config
from quaderno.storage import description_disk, project_quota

_GB = 10**9
DISK_NEEDED, DISK_WANTED = 5 * _GB, 20 * _GB
SOCKET_PATH_MAX = 107  # bytes; sun_path in unix(7), without the final zero


def check_reachable(config: Config) -> Iterator[Finding]:
    """Components run as users of their own, who must get to their directories."""
    closed = host.reachable_by_others(_existing(config.dir))
    if closed:
        yield error(
            "dir-closed",
            f"{closed} keeps the components from {config.dir}",
            f"chmod o+x {closed}, or choose another directory with --dir",
        )
    longest = max(len(os.fsencode(path)) for path in (config.agent_socket, config.dir))
    if longest > SOCKET_PATH_MAX:
        yield error(
            "dir-long",
            f"{config.dir} is too long for the sockets in it",
            f"Choose one shorter by {longest - SOCKET_PATH_MAX} characters with --dir",
        )


def check_disk(config: Config, free: Callable[[Path], int] | None = None) -> Iterator[Finding]:
    """Room for people's data, the upload cache and images."""
    free = free or (lambda path: shutil.disk_usage(path).free)
    places = {"the state directory": _existing(config.dir), "images": _engine_root()}
    for what, path in places.items():
        left = free(path)
        if left >= DISK_WANTED:
            continue
        problem = f"{left / _GB:.1f} GB are free in {path}, for {what}"
        if left < DISK_NEEDED:
            yield error("disk-full", problem, f"Free some: at least {DISK_NEEDED // _GB} GB")
        else:
            yield warning("disk-low", problem, f"{DISK_WANTED // _GB} GB or more are advised")


def check_description_disk(
    _config: Config, device: Path = Path("/dev/loop-control"), path: str = description_disk.PATH
) -> Iterator[Finding]:
    """A full disk loses no file when the descriptions of cached ones are on a disk of their own."""
    missing = [name for name in description_disk.PROGRAMS if not shutil.which(name, path=path)]
    if missing:
        yield warning(
            "description-disk",
            f"without {missing[0]}, a full disk can lose files that are not uploaded",
            "apt-get install e2fsprogs mount",
        )
    elif not os.access(device, os.R_OK | os.W_OK):
        yield warning(
            "description-disk",
            f"{device} cannot be used, so a full disk can lose files that are not uploaded",
            "Load it with `modprobe loop`; in a container, pass it and /dev/loop* to it",
        )


def check_local_quota(config: Config, enforced: bool | None = None) -> Iterator[Finding]:
    """A wish that the file system cannot fulfil would go unnoticed."""
    if not config.servers.local_quota:
        return
    place = _existing(config.local)
    if not (project_quota.enforced(place) if enforced is None else enforced):
        yield warning(
            "local-quota",
            f"servers.local_quota has no effect: {place} is on no file system with project quotas",
            "Use ext4 (tune2fs -O project,quota) or xfs, mounted with the option prjquota",
        )


def _existing(path: Path) -> Path:
    return next(place for place in [path, *path.parents] if place.exists())


def _engine_root() -> Path:
    return _existing(Path("/var/lib/docker"))
