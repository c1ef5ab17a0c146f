"""Files that are kept although they cannot stay where they were: none is ever dropped.

They are put into a directory of this node first, whole, and then brought into the personal bucket
below `.quaderno/rescued/`, where their owner takes them back; those from the scratch bucket, too.
As long as the bucket does not take them, being full for instance, they stay here, and count as
files that wait to be saved.
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from quaderno import names
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import cache, durable, merge
from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Object, Objects

LOG = logging.getLogger("quaderno.agent")
PREFIX = ".quaderno/rescued"
KEY_MOST = 1024  # bytes (S3's API, "Naming Amazon S3 objects")


def keep(plan: MountPlan, data: Path, path: str) -> None:
    """Copy the file that its owner knows as `path`, as it is now. Raises OSError."""
    cache.copy_sparse(data, _new_place(plan, path), plan.unfinished)


def move(plan: MountPlan, data: Path, path: str) -> None:
    """The same, and `data` is there no more. Raises OSError."""
    durable.move(data, _new_place(plan, path))


def keep_object(plan: MountPlan, file: CachedFile, object_: Object, objects: Objects) -> None:
    """Copy the object of `file`, as `object_` names it: inside the store, and to this node when
    the bucket does not take the copy. Blocking.

    Raises StorageError when the object cannot be had, and OSError.
    """
    place = _new_place(plan, file.path)
    target = (names.bucket(plan.username), _key(plan, place))
    try:
        objects.copy(file.area.bucket, file.key, target)
    except StorageError as error:
        LOG.warning("%s is kept on this node for now: %s", file.path, error)
        _fetch(plan, file, object_, objects, place)


def waiting(plan: MountPlan) -> list[Path]:
    """Files that are not in the bucket yet."""
    return sorted(_files(plan))


def deliver(plan: MountPlan, objects: Objects, may_send: Callable[[], bool]) -> int:
    """Bring them into the bucket, as long as `may_send`; how many. Blocking.

    One that the store refuses keeps no other waiting. Raises StorageError, when it has refused
    one at the end, and OSError.
    """
    delivered, refusal = 0, None
    for path in waiting(plan):
        if not may_send():
            break
        try:
            objects.put(names.bucket(plan.username), _key(plan, path), path)
        except StorageRefusedError as error:
            refusal = error
            continue
        path.unlink()
        delivered += 1
    if refusal and not delivered:
        raise refusal
    return delivered


def count(plan: MountPlan, objects: Objects) -> int:
    """How many files there are to take back. Blocking. Raises StorageError."""
    there = objects.count(names.bucket(plan.username), f"{PREFIX}/")
    return there + len(waiting(plan))


def _fetch(
    plan: MountPlan, file: CachedFile, object_: Object, objects: Objects, place: Path
) -> None:
    with durable.appearing(place, plan.unfinished) as copy:
        for start, end in merge.pieces(((0, object_.size),)):
            copy.write(objects.read(file.area.bucket, file.key, start, end, object_.etag))
        copy.flush()
        os.utime(copy.fileno(), (object_.modified, object_.modified))


def _new_place(plan: MountPlan, path: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H.%M.%S.%fZ")
    return plan.rescued / stamp / path


def _key(plan: MountPlan, place: Path) -> str:
    """Of the object that a rescued file becomes. A path that is too long with what is put before
    it, which no store would ever take, is shortened to a digest of it and the file's own name."""
    path = place.relative_to(plan.rescued)
    name = cache.stored_name(str(path))
    if len(name.encode()) + len(PREFIX) < KEY_MOST:
        return f"{PREFIX}/{name}"
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return f"{PREFIX}/{path.parts[0]}/{digest}/{cache.stored_name(path.name)}"


def _files(plan: MountPlan) -> Iterator[Path]:
    return (path for path in plan.rescued.rglob("*") if path.is_file())
