"""What rclone has still to upload, and hurrying it up before the mounts go away."""

import contextlib
from dataclasses import dataclass
from typing import Any

from quaderno.errors import StorageError
from quaderno.storage.mounts import MountPlan
from quaderno.storage.rclone import Rclone

COUNT_WITHIN = 2.0  # seconds
RETRY_FAILED = 2.0  # seconds; a store that is away is not asked more often for one file
_AT_ONCE = -1e9  # rclone's word for "as soon as possible", in seconds


@dataclass(frozen=True)
class Uploads:
    """How many files wait; `failing` when every one of them was refused or lost at least once."""

    count: int
    failing: bool


async def count(rclone: Rclone, plan: MountPlan) -> int:
    """Files that are closed and not uploaded yet. Raises StorageError."""
    return sum([await _count(rclone, area.remote, COUNT_WITHIN) for area in plan.writable])


async def hurry(rclone: Rclone, plan: MountPlan) -> Uploads:
    """Have every queued upload start now. Raises StorageError."""
    total, failing = 0, True
    for area in plan.writable:
        answer = await rclone.call("vfs/queue", fs=area.remote)
        queue: list[dict[str, Any]] = answer.get("queue") or []
        for item in queue:
            await _expire(rclone, area.remote, item)
        failing = failing and all(item["tries"] > item["uploading"] for item in queue)
        total += max(len(queue), await _count(rclone, area.remote))
    return Uploads(total, failing)


def reason(count: int, *, failing: bool) -> str:
    """Why the mounts cannot go away yet, in words; nothing when they can."""
    if not count:
        return ""
    files, those = ("1 file is", "it") if count == 1 else (f"{count} files are", "them")
    why = f": the object store does not take {those}" if failing else ""
    return f"{files} not uploaded yet{why}"


async def _expire(rclone: Rclone, remote: str, item: dict[str, Any]) -> None:
    start = RETRY_FAILED if item["tries"] else _AT_ONCE
    if not item["uploading"] and item["expiry"] > max(start, 0):
        with contextlib.suppress(StorageError):  # it has just been uploaded
            await rclone.call("vfs/queue-set-expiry", fs=remote, id=item["id"], expiry=start)


async def _count(rclone: Rclone, remote: str, within: float = 60) -> int:
    cache = (await rclone.call("vfs/stats", within=within, fs=remote)).get("diskCache", {})
    return int(cache.get("uploadsInProgress", 0) + cache.get("uploadsQueued", 0))
