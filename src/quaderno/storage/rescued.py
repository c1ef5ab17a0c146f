"""Files that are kept although they cannot stay where they were: none is ever dropped.

They are put into a directory of this node first, whole, and then brought into the personal bucket
below `.quaderno/rescued/`, where their owner takes them back; those from the scratch bucket, too.
As long as the bucket does not take them, being full for instance, they stay here, and count as
files that wait to be saved.

Where there are two sites, what both have changed is brought beside the file (`conflicts`).
"""

import hashlib
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from quaderno import names
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import cache, conflicts, durable, merge
from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Object, Objects

LOG = logging.getLogger("quaderno.agent")
PREFIX = ".quaderno/rescued"
_BESIDE = "beside"  # in that directory of this node: below it, paths as their owner sees them
KEY_MOST = 1024  # bytes (S3's API, "Naming Amazon S3 objects")
PART_MOST = 255  # bytes between two slashes; SeaweedFS and MinIO take no more
_SUFFIX_MOST = 32  # bytes of a name's ending that are kept when it is cut


def keep(plan: MountPlan, data: Path, path: str) -> None:
    """Copy the file that its owner knows as `path`, as it is now. Raises OSError."""
    cache.copy_sparse(data, _new_place(plan, path), plan.unfinished)


def move(plan: MountPlan, data: Path, path: str) -> None:
    """The same, and `data` is there no more. Raises OSError."""
    durable.move(data, _new_place(plan, path))


def move_beside(plan: MountPlan, file: CachedFile, site: str, objects: Objects) -> None:
    """What `file` has become at this `site` is brought beside what is in the store by now; `file`
    has no data any more. Blocking. Raises StorageError and OSError."""
    shown, written, again = Path(file.path), file.data.stat().st_mtime_ns, 0
    while True:
        again += 1
        name = conflicts.copy_name(cache.stored_name(shown.name), site, written, again)
        place = plan.rescued / _BESIDE / shown.with_name(name)
        bucket, beside = _target(plan, place)
        if _is_too_long(_note(bucket, beside)):
            move(plan, file.data, file.path)
            return
        if not place.exists() and objects.head(bucket, beside) is None:
            durable.move(file.data, place)
            return


def keep_object(plan: MountPlan, file: CachedFile, object_: Object, objects: Objects) -> None:
    """Copy the object of `file`, as `object_` names it: inside the store, and to this node when
    the bucket does not take the copy. Blocking.

    Raises StorageError when the object cannot be had, and OSError.
    """
    place = _new_place(plan, file.path)
    target = (names.bucket(plan.username), key(plan, place))
    try:
        _explain(plan, place, objects)
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
            _deliver(plan, path, objects)
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
    there = objects.keys(names.bucket(plan.username), f"{PREFIX}/")
    return len(there) + len(waiting(plan))


def key(plan: MountPlan, place: Path) -> str:
    """Of the object that a rescued file becomes. A path that no store would take, because it
    or a part of it is too long, is shortened to its digest, and as much of the name as fits."""
    path = place.relative_to(plan.rescued)
    stored = _stored(path)
    return f"{_shortened(path)}/{_cut(path.name)}" if _is_too_long(stored) else stored


def explanation(path: Path) -> str:
    """What the text beside a shortened one says of a path below `cloud_storage`, every byte of
    which can be told from it."""
    said = os.fsencode(path).replace(b"\\", rb"\\").decode("utf-8", "backslashreplace")
    return (
        "The file in the directory beside this text was, below cloud_storage (in which \\xff is a "
        f"byte that is no text, and \\\\ a backslash):\n{said}\n"
    )


def _deliver(plan: MountPlan, path: Path, objects: Objects) -> None:
    personal = names.bucket(plan.username)
    if path.is_relative_to(plan.rescued / _BESIDE):
        bucket, beside = _target(plan, path)
        objects.put(bucket, beside, path)
        objects.put_if(personal, _note(bucket, beside), b"", None)
    else:
        _explain(plan, path, objects)
        objects.put(personal, key(plan, path), path)


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


def _target(plan: MountPlan, place: Path) -> tuple[str, str]:
    """Bucket and key of the object that a file becomes that is kept at `place`, beside another."""
    shown = place.relative_to(plan.rescued / _BESIDE)
    area = next(each for each in plan.writable if shown.is_relative_to(each.shown))
    file = CachedFile(area, str(shown.relative_to(area.shown)), place, place)
    return area.bucket, file.key


def _note(bucket: str, key: str) -> str:
    return f"{conflicts.MARKERS}/{bucket}/{key}"


def _explain(plan: MountPlan, place: Path, objects: Objects) -> None:
    """Where the path cannot be seen from the key, a text beside the object says it."""
    path = place.relative_to(plan.rescued)
    if _is_too_long(_stored(path)):
        bucket, body = names.bucket(plan.username), explanation(Path(*path.parts[1:])).encode()
        objects.put_if(bucket, f"{_shortened(path)}.txt", body, None)


def _stored(path: Path) -> str:
    return f"{PREFIX}/{cache.stored_name(str(path))}"


def _is_too_long(key: str) -> bool:
    lengths = [len(part) for part in key.encode().split(b"/")]
    return sum(lengths) + len(lengths) - 1 > KEY_MOST or max(lengths) > PART_MOST


def _shortened(path: Path) -> str:
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()
    return f"{PREFIX}/{path.parts[0]}/{digest}"


def _cut(name: str) -> str:
    """As the store has it, without the middle that is too much for it."""
    suffix = Path(name).suffix
    if len(cache.stored_name(suffix).encode()) > _SUFFIX_MOST:
        suffix = ""
    stem = name.removesuffix(suffix)
    while len((short := cache.stored_name(stem + suffix)).encode()) > PART_MOST:
        stem = stem[:-1]
    return short


def _files(plan: MountPlan) -> Iterator[Path]:
    return (path for path in plan.rescued.rglob("*") if path.is_file())
