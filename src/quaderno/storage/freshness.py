"""What others changed in the object store, shown without losing what is mounted inside.

A person's scratch area is mounted on a directory of the mount of all of scratch. When rclone
forgets a directory, its subdirectories get new identities; the kernel notices at the next look
and detaches what is mounted on them. So the listing of scratch itself never expires (`mounts.py`)
and is read anew here, which keeps the identity of what is still there. What lies below other
people's directories may be forgotten as a whole, for nothing is mounted there.
"""

from pathlib import Path
from typing import Any

from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import Area, MountPlan
from quaderno.storage.rclone import Rclone


async def refresh_all(rclone: Rclone, plan: MountPlan) -> None:
    """Have every change show at once. Raises StorageError."""
    for area in plan.areas:
        if not area.read_only:
            await rclone.call("vfs/forget", fs=area.remote)
    await refresh_own(rclone, plan)
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
                named: dict[str, Any] = {
                    f"dir{number}": name for number, name in enumerate(sorted(others))
                }
                await rclone.call("vfs/forget", fs=area.remote, **named)
            await rclone.call("vfs/refresh", fs=area.remote)


async def refresh_own(rclone: Rclone, plan: MountPlan) -> None:
    """Have the top of each writable area known, so that files can be made there while the store
    is away. Raises StorageError."""
    for area in plan.writable:
        await rclone.call("vfs/refresh", fs=area.remote)


async def _directories(rclone: Rclone, area: Area) -> set[str]:
    only = {"dirsOnly": True, "noModTime": True, "noMimeType": True}
    answer = await rclone.call("operations/list", fs=area.remote, remote="", opt=only)
    return {entry["Name"] for entry in answer["list"]}
