"""Files that are kept although they cannot stay where they were: none is ever dropped.

They are put into a directory of this node first, whole, and then brought into the personal bucket
below `.quaderno/rescued/`, where their owner takes them back; those from the scratch bucket, too.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from quaderno import names
from quaderno.storage import cache
from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Objects

PREFIX = ".quaderno/rescued"
_UNFINISHED = ".new"


def keep(plan: MountPlan, data: Path, path: str) -> None:
    """Copy the file that its owner knows as `path`, as it is now. Raises OSError."""
    target = _new_place(plan, path)
    cache.copy_sparse(data, target)


def move(plan: MountPlan, data: Path, path: str) -> None:
    """The same, and `data` is there no more. Raises OSError."""
    target = _new_place(plan, path)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data.rename(target)


def keep_object(plan: MountPlan, file: CachedFile, objects: Objects) -> None:
    """Copy the object of `file` to where its owner finds it, inside the store. Blocking.

    Raises StorageError.
    """
    name = _new_place(plan, file.path).relative_to(plan.rescued)
    target = (names.bucket(plan.username), f"{PREFIX}/{name}")
    objects.copy(file.area.bucket, file.key, target)


def waiting(plan: MountPlan) -> list[Path]:
    """Files that are not in the bucket yet."""
    return sorted(_files(plan))


def deliver(plan: MountPlan, objects: Objects, may_send: Callable[[], bool]) -> int:
    """Bring them into the bucket, as long as `may_send`; how many. Blocking.

    Raises StorageError and OSError.
    """
    delivered = 0
    for path in waiting(plan):
        if not may_send():
            break
        name = path.relative_to(plan.rescued)
        objects.put(names.bucket(plan.username), f"{PREFIX}/{name}", path)
        path.unlink()
        delivered += 1
    return delivered


def count(plan: MountPlan, objects: Objects) -> int:
    """How many files there are to take back. Blocking. Raises StorageError."""
    there = objects.count(names.bucket(plan.username), f"{PREFIX}/")
    return there + len(waiting(plan))


def _new_place(plan: MountPlan, path: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H.%M.%S.%fZ")
    return plan.rescued / stamp / path


def _files(plan: MountPlan) -> Iterator[Path]:
    for path in plan.rescued.rglob("*"):
        if path.is_file() and not path.name.endswith(_UNFINISHED):
            yield path
