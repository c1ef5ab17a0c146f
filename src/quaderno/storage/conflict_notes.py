"""The notes by which a person is told that both sites have changed a file of theirs.

Who keeps the other version writes one below `.quaderno/conflicts` in their bucket, whose key is the
path of the copy. It is replicated like the copy, so either site's agent tells of it, as long as the
copy is there.
"""

from quaderno import names
from quaderno.errors import StorageRefusedError
from quaderno.storage.conflicts import MARKERS
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Objects

LOOKED_AT = 50  # copies, each time; a person who has more will not miss one


def standing(plan: MountPlan, objects: Objects) -> tuple[str, ...]:
    """Where the copies are that are there, as people read it; notes of others are removed.

    Blocking. Raises StorageError.
    """
    bucket = names.bucket(plan.username)
    found = objects.keys(bucket, f"{MARKERS}/")
    gone = {note for note in found[:LOOKED_AT] if not _is_there(note, objects)}
    for note in gone:
        objects.delete(bucket, note)
    return tuple(_place(plan, note) for note in found if note not in gone)


def _place(plan: MountPlan, note: str) -> str:
    """Further buckets are not mounted."""
    path = note.removeprefix(f"{MARKERS}/")
    mounted = {area.bucket for area in plan.areas}
    return f"cloud_storage/{path}" if path.partition("/")[0] in mounted else f"s3://{path}"


def _is_there(note: str, objects: Objects) -> bool:
    """Not where the store refuses to say: a person can write any note."""
    bucket, _, key = note.removeprefix(f"{MARKERS}/").partition("/")
    try:
        return bool(key) and objects.head(bucket, key) is not None
    except StorageRefusedError:
        return False
