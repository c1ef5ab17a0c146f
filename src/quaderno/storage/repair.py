"""Mending the cache after a crash, while no rclone uses it, so that rclone loses nothing of it.

At its start rclone deletes the data of each file whose description is missing or cut off, uploads
holes as zeros while the store does not answer, and fetches the old object over what was written
since the description was. So every changed file is made complete here, and described as such.

It would also upload a changed file over an object that somebody else has replaced meanwhile. Then
the newer of both has the name, and the other one is rescued. Where there are two sites, the object
has it, for its owner may have gone on with it at the other, and the file is put beside it.

After another boot of the machine, a part of a file may be a hole or missing although its
description names it, an unchanged file may hold anything, and an embedded store may have lost what
it took last. Then no remainder replaces an object, what was in use last is compared with the
store, and the rest of what is unchanged is fetched again.
"""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from quaderno.storage import cache, merge, rescued
from quaderno.storage.cache import CachedFile, Description
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Object, Objects

LOG = logging.getLogger("quaderno.agent")
_MD5_LENGTH = 32  # hexadecimal digits
_UNSETTLED = 300.0  # seconds; far more than a kernel and a store take to write to their disks
_SAME_TIME = 1.0  # seconds; objects' times have no fractions


@dataclass(frozen=True)
class Damage:
    """A file that may need mending; `description` is None when it cannot be read. Of `remains` a
    part may be lost: they replace nothing."""

    file: CachedFile
    description: Description | None
    remains: bool = False


def survey(plan: MountPlan, *, rebooted: bool = False) -> list[Damage]:
    """Files that rclone cannot be trusted with: those that are changed, or may be.

    Blocking; no rclone may use the cache.
    """
    found = []
    doubtful = _doubtful_after_reboot(plan) if rebooted else set()
    for file in cache.files(plan):
        description = file.describe()
        if not file.data.exists():
            file.meta.unlink(missing_ok=True)  # of nothing; rclone would do the same
        elif description is None:
            # rclone describes a file before anything is written to it: an empty one without a
            # description holds nobody's work, and would hide what the object has.
            if file.data.stat().st_blocks or file.meta.exists():
                found.append(Damage(file, None, rebooted))
            else:
                file.remove()
        elif description.dirty:
            found.append(Damage(file, description, rebooted and _has_lost(file, description)))
        elif file.data in doubtful:
            found.append(Damage(file, description, remains=True))
        elif rebooted:
            file.remove()
    return found


def _doubtful_after_reboot(plan: MountPlan) -> set[Path]:
    """Data of the files that were in use in the last minutes; what is only read is dropped."""
    for area in plan.areas:
        if area.read_only:
            cache.drop(plan, area)
    used = {
        file.data: max(_changed_at(file.data), _changed_at(file.meta)) for file in cache.files(plan)
    }
    last = max(used.values(), default=0.0)
    return {data for data, when in used.items() if when >= last - _UNSETTLED}


def _changed_at(path: Path) -> float:
    """In Unix seconds by the kernel: nobody can set it (stat(2), st_ctime)."""
    try:
        return path.stat().st_ctime
    except OSError:
        return 0.0


def _has_lost(file: CachedFile, description: Description) -> bool:
    """Whether a part that is named has become a hole, or is beyond the end."""
    with file.data.open("rb") as data:
        here = list(cache.spans(data.fileno(), os.fstat(data.fileno()).st_size))
    return any(any(cache.subtract(part, here)) for part in description.parts)


def repair(
    plan: MountPlan,
    damages: list[Damage],
    objects: Objects,
    disputed: float | None,
    site: str = "",
) -> None:
    """Make each file complete and described as changed, or known to be no change at all.

    Since `disputed` (Unix seconds) another node may have written objects. `site` is this one, of
    two that replicate each other. Blocking. Raises
    StorageError when the store does not answer: nothing may be mounted then. A file that was
    mended before it failed stays mended.
    """
    for damage in damages:
        file, description = damage.file, damage.description
        object_ = objects.head(file.area.bucket, file.key)
        if damage.remains:
            _settle_remains(plan, damage, object_, objects)
        elif description is None:
            _recognise(plan, damage, object_, objects, disputed)
        elif object_ is not None and is_another(file, description, object_, objects, disputed):
            _keep_both(plan, damage, object_, objects, site)
        elif not _is_whole(file, description):
            _complete(plan, damage, object_, objects)


def is_another(
    file: CachedFile,
    description: Description | None,
    object_: Object,
    objects: Objects,
    disputed: float | None = None,
) -> bool:
    """Whether somebody else has written the object since `file` was made from it, and something
    else than what `file` is now. Blocking. Raises StorageError and OSError."""
    origin = _origin(description, object_)
    doubtful = origin is None and disputed is not None and object_.modified >= disputed
    return (origin is False or doubtful) and not _is_copy(file, object_, objects)


def _keep_both(
    plan: MountPlan, damage: Damage, object_: Object, objects: Objects, site: str
) -> None:
    file, description = damage.file, damage.description
    whole = description is not None and _is_whole(file, description)
    if whole and site:
        LOG.warning("%s was changed elsewhere, too: both versions are kept", file.path)
        rescued.move_beside(plan, file, site, objects)
        file.remove()
    elif whole and file.data.stat().st_mtime > object_.modified:
        LOG.warning("%s was changed elsewhere, too, but earlier: that is rescued", file.path)
        rescued.keep_object(plan, file, object_, objects)
    else:
        LOG.warning("%s is newer in the store; the one of the cache is rescued", file.path)
        rescued.move(plan, file.data, file.path)
        file.remove()


def _settle_remains(
    plan: MountPlan, damage: Damage, object_: Object | None, objects: Objects
) -> None:
    """An object keeps its name; what a store has lost, it gets again."""
    file, description = damage.file, damage.description
    lost = description is not None and _has_lost(file, description)
    changed = description is None or description.dirty
    if object_ is None and not lost:
        _complete(plan, damage, None, objects)
        return
    if object_ is None or (lost and changed) or not _is_copy(file, object_, objects):
        LOG.warning("%s may have lost a part when the machine ended; it is rescued", file.path)
        rescued.move(plan, file.data, file.path)
    file.remove()


def _is_whole(file: CachedFile, description: Description) -> bool:
    """Whether rclone will not look for any part of it in the store."""
    return not any(cache.subtract((0, file.data.stat().st_size), list(description.parts)))


def _recognise(
    plan: MountPlan,
    damage: Damage,
    object_: Object | None,
    objects: Objects,
    disputed: float | None,
) -> None:
    """A file without description: a change, or a copy of some object?"""
    file = damage.file
    if object_ is not None:
        if _is_copy(file, object_, objects):
            file.remove()  # it is fetched again when somebody reads it
            return
        newer = object_.modified > file.data.stat().st_mtime + _SAME_TIME
        if newer or (disputed is not None and object_.modified >= disputed):
            LOG.warning("%s is newer in the store; the one of the cache is rescued", file.path)
            rescued.move(plan, file.data, file.path)
            file.remove()
            return
    _complete(plan, damage, object_, objects)


def _is_copy(file: CachedFile, object_: Object, objects: Objects) -> bool:
    """Whether all that is here of the file is what the object has."""
    if file.data.stat().st_size != object_.size:
        return False
    with file.data.open("rb") as data:
        for span in list(cache.spans(data.fileno(), object_.size)):
            for start, end in merge.pieces((span,)):
                data.seek(start)
                if data.read(end - start) != _read(objects, file, object_, start, end):
                    return False
    return True


def _complete(plan: MountPlan, damage: Damage, object_: Object | None, objects: Objects) -> None:
    file = damage.file
    if complete(plan, file, file.data, damage.description, object_, objects):
        file.describe_as_changed()
        LOG.warning("%s was not uploaded before a crash: it will be now", file.path)
    else:
        LOG.warning("%s is another one in the store by now; the cache's is rescued", file.path)
        rescued.move(plan, file.data, file.path)
        file.remove()


def complete(
    plan: MountPlan,
    file: CachedFile,
    data: Path,
    description: Description | None,
    object_: Object | None,
    objects: Objects,
) -> bool:
    """Fill in what `data`, which is `file` or a copy of it, lacks of the object it is a change of.

    False when that object is not there any more: `data` is as it was. Blocking. Raises
    StorageError and OSError.
    """
    same = object_ is not None and _origin(description, object_) is not False
    # Without the object nothing is known of what is not here.
    size = object_.size if object_ is not None and same else data.stat().st_size
    lacking = merge.patches(data, description, size)
    if not same or object_ is None:
        was_new = description is None or not description.fields.get("Fingerprint")
        return was_new or not lacking.missing
    guessed = merge.apply(
        data,
        lacking,
        lambda start, end: _read(objects, file, object_, start, end),
        lambda: rescued.keep(plan, data, file.path),
    )
    if guessed:
        LOG.warning("%s: parts of it are a guess; as it was, it is rescued", file.path)
    return True


def _origin(description: Description | None, object_: Object) -> bool | None:
    """Whether the object is what was changed; None when that cannot be told. rclone's fingerprint
    of it is its size and, unless it was uploaded in parts, its MD5 sum, which is then its tag."""
    fingerprint = str(description.fields.get("Fingerprint") or "") if description else ""
    if not fingerprint:
        return None
    size, _, digest = fingerprint.partition(",")
    tag = object_.etag.strip('"')
    if size != str(object_.size):
        return False
    known = all(len(text) == _MD5_LENGTH for text in (digest, tag))
    return digest == tag if known else None


def _read(objects: Objects, file: CachedFile, object_: Object, start: int, end: int) -> bytes:
    return objects.read(file.area.bucket, file.key, start, end, object_.etag)
