"""A file that does nothing but take room on the cache's disk, to be given up when that is full.

Mounts are read-only long before the disk is full, but other programs go on. Then the ballast makes
room for what must be finished all the same: files that are open, repairs, the agent's own notes.
It is taken back when there is room for it, before people may write again.
"""

import asyncio
import logging
import os
import shutil
from pathlib import Path

from quaderno.config import Config
from quaderno.quantities import format_memory
from quaderno.storage import mounts
from quaderno.storage.cache_disk import CacheDisk

LOG = logging.getLogger("quaderno.agent")
LOOK_EVERY = 1.0  # seconds; a program that writes fills a gigabyte in about that time


def path(config: Config) -> Path:
    """The file."""
    return config.dir / "agent" / "ballast"


def measure(config: Config) -> CacheDisk:
    """The cache's disk as it is now. Raises OSError."""
    usage = shutil.disk_usage(mounts.users_directory(config))
    try:
        held = path(config).stat().st_blocks * 512  # stat(2)
    except FileNotFoundError:
        held = 0
    return CacheDisk(usage.total, usage.free, held, config.agent.cache_reserve)


def look(config: Config) -> None:
    """Give the ballast up, or take it back. Idempotent; blocking. Raises OSError."""
    disk = measure(config)
    if disk.held and disk.is_full:
        path(config).unlink()
        LOG.error("The disk of the caches is full: %s of ballast given up", _text(disk.held))
    elif disk.missing and not disk.is_short(was_short=True):
        _take(path(config), disk.ballast)
        LOG.info("%s of the cache's disk are held as ballast", _text(disk.ballast))


def warning(config: Config) -> str:
    """What an operator should know of it; nothing when all is well. Raises OSError."""
    disk = measure(config)
    if not disk.missing:
        return ""
    return (
        f"The disk of the caches is full, and {_text(disk.missing)} of ballast are given up: "
        f"{_text(disk.free)} of {_text(disk.total)} are free. Make room; nobody may write till then"
    )


async def keep_watch(config: Config) -> None:
    """Look for ever."""
    while True:
        try:
            await asyncio.to_thread(look, config)
        except OSError as error:
            LOG.warning("The ballast: %s", error)
        await asyncio.sleep(LOOK_EVERY)


def _take(file: Path, size: int) -> None:
    """The whole of it, or nothing."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        file.unlink()
        raise
    finally:
        os.close(descriptor)


def _text(amount: int) -> str:
    """In whole MiB."""
    return format_memory(amount >> 20 << 20)
