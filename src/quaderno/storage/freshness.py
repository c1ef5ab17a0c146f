"""What others changed in the object store, shown without losing what is known.

rclone's listings never expire by themselves (`mounts.py`). In a directory that it does not know,
nothing can be opened, made or saved while the store is away; so the directories where people work
are read anew one by one, each after the store has just answered, and the others are forgotten.

A person's scratch area is mounted on a directory of the mount of all of scratch. When rclone
forgets a directory, its subdirectories get new identities; the kernel notices at the next look
and detaches what is mounted on them. So scratch itself is read anew, too, which keeps the identity
of what is still there. What lies below other people's directories may be forgotten as a whole, for
nothing is mounted there.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

from quaderno.errors import StorageError
from quaderno.storage import cache
from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import Area, MountPlan
from quaderno.storage.rclone import Rclone

REFRESH_SHARED = 15.0  # seconds until others' changes in scratch show
DIRECTORIES_MOST = 200  # of an area, those used last, that are kept known


class Refresher:
    """Knows what of one person's mounts is to be read anew, and when; `own_every` is in seconds.

    It reads in the background, one directory at a time: there may be many, and the store slow.
    """

    def __init__(self, plan: MountPlan, own_every: float) -> None:
        self._plan, self._own_every = plan, own_every
        self._new = False
        self._shared_at = self._own_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._reading = asyncio.Lock()

    def start(self) -> None:
        """The mounts have just been made: their tops are known, and nothing else."""
        now = time.monotonic()
        self._new, self._shared_at, self._own_at = True, now + REFRESH_SHARED, now + self._own_every

    def look(self, rclone: Rclone) -> None:
        """Begin with what is due, unless that is under way; never waits for its end."""
        if self._task is None or self._task.done():
            name = f"listings of {self._plan.username}"
            self._task = asyncio.create_task(self._what_is_due(rclone), name=name)

    def stop(self) -> None:
        """The mounts are not served any more."""
        if self._task is not None:
            self._task.cancel()

    async def all_now(self, rclone: Rclone) -> None:
        """Have every change show at once; where people work is known soon. Raises StorageError."""
        async with self._reading:
            await refresh_all(rclone, self._plan)
            self._new = True

    async def _what_is_due(self, rclone: Rclone) -> None:
        """The store is asked every REFRESH_SHARED at most: it may be away, and slow to say so.
        What could not be done is due the next time."""
        with contextlib.suppress(StorageError):
            if self._new:
                self._new = False
                async with self._reading:
                    await read_used(rclone, self._plan)
            if time.monotonic() < self._shared_at:
                return
            self._shared_at = time.monotonic() + REFRESH_SHARED
            async with self._reading:
                await refresh_shared(rclone, self._plan)
            if time.monotonic() >= self._own_at:
                await self._refresh_own(rclone)
                self._own_at = time.monotonic() + self._own_every

    async def _refresh_own(self, rclone: Rclone) -> None:
        """Have others' changes in the writable areas show, and the directories known where people
        work. Raises StorageError, whereupon one directory at most has become unknown."""
        for area in self._plan.writable:
            used = await asyncio.to_thread(
                cache.used_directories, self._plan, area, DIRECTORIES_MOST
            )
            for directory in sorted({"", *used}):  # those above first
                async with self._reading:
                    await _read_anew(rclone, area, directory, used)


async def refresh_all(rclone: Rclone, plan: MountPlan) -> None:
    """Have every change show at once; nothing is forgotten unless the store answers.

    Raises StorageError.
    """
    for area in plan.writable:
        await _directories(rclone, area)
        await rclone.call("vfs/forget", fs=area.remote)
    await read_tops(rclone, plan)
    await refresh_shared(rclone, plan)


async def refresh_directory(rclone: Rclone, file: CachedFile) -> None:
    """Have one file's directory read anew. Raises StorageError."""
    directory = str(Path(file.name).parent)
    where: dict[str, Any] = {} if directory == "." else {"dir": directory}
    await rclone.call("vfs/forget", fs=file.area.remote, **where)
    await rclone.call("vfs/refresh", fs=file.area.remote, **where)


async def refresh_shared(rclone: Rclone, plan: MountPlan) -> None:
    """Have others' changes in the shared areas show. Raises StorageError.

    To forget a directory makes the one above unknown, too, until it is read; a look at it that
    fails, while the store is away, detaches what is mounted inside. So the store is asked first,
    and the shared area is read last.
    """
    for area in plan.areas:
        if area.read_only:
            others = await _directories(rclone, area) - {plan.username}
            if others:
                await rclone.call("vfs/forget", fs=area.remote, **_named(sorted(others)))
            await rclone.call("vfs/refresh", fs=area.remote)


async def read_tops(rclone: Rclone, plan: MountPlan) -> None:
    """Have the top of each writable area known. Raises StorageError."""
    for area in plan.writable:
        await rclone.call("vfs/refresh", fs=area.remote)


async def read_used(rclone: Rclone, plan: MountPlan) -> None:
    """Have the directories known where people worked before the mounts were made, all in one call.

    Raises StorageError.
    """
    for area in plan.writable:
        used = await asyncio.to_thread(cache.used_directories, plan, area, DIRECTORIES_MOST)
        if used:
            await rclone.call("vfs/refresh", fs=area.remote, **_named(sorted(used)))


async def _read_anew(rclone: Rclone, area: Area, directory: str, used: set[str]) -> None:
    """One directory; those in it that are not `used` are forgotten."""
    there = await _directories(rclone, area, directory)
    idle = sorted({str(Path(directory, name)) for name in there} - used)
    if idle:
        await rclone.call("vfs/forget", fs=area.remote, **_named(idle))
    where: dict[str, Any] = {"dir": directory} if directory else {}
    await rclone.call("vfs/refresh", fs=area.remote, **where)


def _named(directories: list[str]) -> dict[str, Any]:
    """As parameters of rclone's calls."""
    return {f"dir{number}": name for number, name in enumerate(directories)}


async def _directories(rclone: Rclone, area: Area, directory: str = "") -> set[str]:
    """Names of the directories in one; none when it is not in the store (yet)."""
    only = {"dirsOnly": True, "noModTime": True, "noMimeType": True}
    try:
        answer = await rclone.call("operations/list", fs=area.remote, remote=directory, opt=only)
    except StorageError as error:
        if "directory not found" in error.message:
            return set()
        raise
    return {entry["Name"] for entry in answer["list"]}
