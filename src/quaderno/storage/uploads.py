"""What rclone has still to upload, what the store refuses of it, and hurrying it up."""

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaderno.errors import StorageError
from quaderno.storage import cache
from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import Area, MountPlan
from quaderno.storage.rclone import Call, Rclone

ASK_WITHIN = 5.0  # seconds
REFUSED_AFTER = 3  # tries of a file that the store refuses, until its owner is told
RETRY_FAILED = 2.0  # seconds; a store that is away is not asked more often for one file
HELD = 1e6  # seconds until an upload starts that is held back
_AT_ONCE = -1e9  # rclone's word for "as soon as possible", in seconds
_FAILED = re.compile(r"failed to upload try #(\d+)")
_REFUSED = re.compile(r"StatusCode: 4\d\d|AccessDenied|Forbidden|QuotaExceeded|InvalidAccessKey")
_OF_THE_FILE = re.compile(
    r"KeyTooLong|EntityTooLarge|InvalidObjectName|MetadataTooLarge|StatusCode: 413"
)
_ANSWERED = re.compile(r"StatusCode: [45]\d\d")
_LOG_MOST = 4 << 20  # bytes of the log that are read at once


@dataclass(frozen=True)
class Upload:
    """A file in rclone's queue; `bytes` is its size, `tries` how often it failed to go."""

    file: CachedFile
    id: int
    bytes: int
    failed: int
    running: bool
    due: float  # seconds from now

    @property
    def held(self) -> bool:
        """Whether it waits until it is told to start."""
        return self.due > HELD / 2


async def queue(rclone: Rclone, plan: MountPlan) -> list[Upload]:
    """Files that are closed and not uploaded yet. Raises StorageError."""
    return _uploads(plan, await rclone.batch(_queues(plan), within=ASK_WITHIN))


async def look(rclone: Rclone, plan: MountPlan) -> tuple[list[Upload], int]:
    """The same, and how many bytes rclone has moved since its start. Raises StorageError.

    In one call: this is asked of everybody's rclone every few seconds.
    """
    calls = [*_queues(plan), ("core/stats", {"short": True})]
    *queues, stats = await rclone.batch(calls, within=ASK_WITHIN)
    moved = int(stats.get("bytes") or 0) + int(stats.get("serverSideCopyBytes") or 0)
    return _uploads(plan, queues), moved


async def in_progress(rclone: Rclone, plan: MountPlan) -> int:
    """The same counted otherwise, with what the queue does not list. Raises StorageError."""
    total = 0
    for area in plan.writable:
        cached = (await rclone.call("vfs/stats", fs=area.remote)).get("diskCache", {})
        total += cached.get("uploadsInProgress", 0) + cached.get("uploadsQueued", 0)
    return total


async def hurry(rclone: Rclone, waiting: list[Upload]) -> None:
    """Have uploads start now, those that have failed at most every RETRY_FAILED."""
    for upload in waiting:
        start = RETRY_FAILED if upload.failed else _AT_ONCE
        if not upload.running and upload.due > max(start, 0):
            await try_at(rclone, upload, start)


async def try_again(rclone: Rclone, waiting: list[Upload]) -> None:
    """Have uploads start now, however often they failed."""
    for upload in waiting:
        if not upload.running:
            await try_at(rclone, upload, _AT_ONCE)


async def hold(rclone: Rclone, plan: MountPlan) -> None:
    """Have no upload start until it is told to. Raises StorageError.

    Again and again, more often than a closed file waits for its upload.
    """
    for upload in await queue(rclone, plan):
        if not (upload.running or upload.held):
            await try_at(rclone, upload, HELD)


async def release(rclone: Rclone, waiting: list[Upload]) -> None:
    """Have uploads start now that were held."""
    await try_again(rclone, [upload for upload in waiting if upload.held])


async def try_at(rclone: Rclone, upload: Upload, seconds: float) -> None:
    """Have one upload start in so many seconds."""
    with contextlib.suppress(StorageError):  # it has just been uploaded
        await rclone.call(
            "vfs/queue-set-expiry", fs=upload.file.area.remote, id=upload.id, expiry=seconds
        )


def _queues(plan: MountPlan) -> list[Call]:
    return [("vfs/queue", {"fs": area.remote}) for area in plan.writable]


def _uploads(plan: MountPlan, queues: list[dict[str, Any]]) -> list[Upload]:
    return [
        _upload(plan, area, item)
        for area, answer in zip(plan.writable, queues, strict=True)
        for item in answer.get("queue") or ()
    ]


def _upload(plan: MountPlan, area: Area, item: dict[str, Any]) -> Upload:
    name = item["name"]
    metas = cache.description_root(plan, area)
    file = CachedFile(area, name, cache.data_root(plan, area) / name, metas / name)
    failed = item["tries"] - bool(item["uploading"])
    return Upload(file, item["id"], item["size"], failed, item["uploading"], item["expiry"])


class Refusals:
    """Why uploads failed, as rclone's log says; rclone tells it nowhere else."""

    def __init__(self, log: Path) -> None:
        self._log, self._position, self._inode = log, 0, 0
        with contextlib.suppress(OSError):
            status = log.stat()
            self._position, self._inode = status.st_size, status.st_ino
        self._reasons: dict[str, str] = {}
        self.full: Area | None = None  # whose bucket has no room: a refusal is for that

    def read(self) -> None:
        """Read what is new. Blocking."""
        try:
            lines = self._new_lines()
        except OSError:
            return
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                if _FAILED.search(entry["msg"]):
                    self._reasons[entry["object"]] = entry["msg"]

    def refused(self, waiting: list[Upload]) -> list[Upload]:
        """Those of the files that the store does not want, rather than cannot take now."""
        names = {upload.file.name for upload in waiting}
        self._reasons = {name: why for name, why in self._reasons.items() if name in names}
        return [
            upload
            for upload in waiting
            if upload.failed and (self.is_quota(upload) or self._is_refusal(upload))
        ]

    def is_quota(self, upload: Upload) -> bool:
        """Whether it is refused for want of space in the bucket."""
        text = self._reasons.get(upload.file.name, "")
        # SeaweedFS does not say why.
        return "QuotaExceeded" in text or (
            upload.file.area == self.full and bool(_ANSWERED.search(text))
        )

    def is_of_the_file(self, upload: Upload) -> bool:
        """Whether the store refuses it for its own name or size, whatever it takes of others."""
        return bool(_OF_THE_FILE.search(self._reasons.get(upload.file.name, "")))

    def _is_refusal(self, upload: Upload) -> bool:
        return bool(_REFUSED.search(self._reasons.get(upload.file.name, "")))

    def reason(self, upload: Upload) -> str:
        """One sentence about a refused upload."""
        if self.is_quota(upload):
            return "Your quota in the object store is used up."
        text = self._reasons.get(upload.file.name, "")
        if "KeyTooLong" in text:
            return "Its name is too long for the object store: give it a shorter one."
        code = re.search(r"api error (\w+)", text)
        return f"The object store refuses it ({code[1] if code else 'no reason given'})."

    def _new_lines(self) -> list[bytes]:
        with self._log.open("rb") as log:
            status = self._log.stat()
            if status.st_ino != self._inode or status.st_size < self._position:
                self._position, self._inode = 0, status.st_ino  # rclone began a new one
            log.seek(max(self._position, status.st_size - _LOG_MOST))
            text = log.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._position = log.tell() - (len(text) - len(whole))
        return whole.splitlines()
