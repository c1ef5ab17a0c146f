"""What becomes of an object that has changed at both sites: both versions are kept. Pure.

A change that comes from the other site is made to what that site had. Where that is what is here,
it is the next version, and applied. Where it is not, somebody changed the object here, too, and
neither site knew of the other's change. Of two changes the later one has the name, by the sites'
clocks, and the other is kept beside it; of a change and a removal the change stays.

Leases have an order of their own, whenever they were written: an earlier one never comes back.

Whoever has the earlier version keeps it, before it is replaced: so both sites decide alike, and
each keeps what is its own. The copy is an object like any other, and comes to the other site.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto

from quaderno import names

MARKERS = ".quaderno/conflicts"  # in a personal bucket; below it, the paths of the copies
NAME_MOST = 255  # bytes; SeaweedFS's longest name in a directory
_SECOND = 10**9  # nanoseconds
_OBJECT = re.compile(r"/buckets/(?P<bucket>[^/.][^/]*)/(?P<key>.+)", re.DOTALL)
# Leases and JupyterLab's settings are the service's: of two, the later one counts.
_OUR_OWN = re.compile(r"(?:[^/]+/)?\.quaderno/(?:lease\.json|lab/|conflicts/)")


@dataclass(frozen=True)
class Version:
    """One content of an object: when it was written (nanoseconds since the epoch, by the clock of
    the site that took it), its bytes, and its MD5 sum where SeaweedFS has one; of a lease its
    order. At this site its time is `stored`, which may be earlier: see `is_late`."""

    written: int
    size: int
    md5: bytes
    order: str = ""
    stored: int = field(default=0, compare=False)


class Fate(Enum):
    """What becomes of a change that comes from the other site."""

    APPLY = auto()
    REPLACE = auto()  # after what is here has been copied beside it
    LEAVE = auto()  # what is here stays


def judge(
    here: Version | None,
    base: Version | None,
    new: Version | None,
    seen: Sequence[Version | None],
) -> Fate:
    """Of the change from `base` to `new` (None: no object) where `here` is what this site has.

    `seen` are versions that have been judged already, each once, in their order, and None where
    the object was removed last: changes are judged ahead of their application, so one of them may
    be here still; and come again after an interruption.
    """
    if here is None or here in (base, new):
        return Fate.APPLY
    if here in seen:
        return Fate.LEAVE if _has_followed(here, base, new, seen) else Fate.APPLY
    if new is None or _rank(here) > _rank(new):
        return Fate.LEAVE
    return Fate.REPLACE


def _has_followed(
    here: Version, base: Version | None, new: Version | None, seen: Sequence[Version | None]
) -> bool:
    """Whether what is `here` came after this change, which comes again. One that comes for the
    first time is made to what was seen last, even where it brings an earlier version back, which
    is the same one within a second."""
    at = seen.index(here)
    before, since = seen[:at], seen[at:]
    if base is not None and base in before:
        return True
    return new is not None and new in before and base not in since


def _rank(version: Version) -> tuple[str, int, bytes, int]:
    """Which of two is the later one. SeaweedFS's S3 tells whole seconds: of two that were written
    in the same one, both sites have to choose the same, whichever that is."""
    return version.order, version.written, version.md5, version.size


def is_late(here: Version, base: Version | None, new: Version) -> bool:
    """Whether SeaweedFS would keep what is `here` instead of `new`, by their times: where clocks
    differ, where the order is not that of time, and of the same time, unless it is the next one."""
    if here == new:
        return False
    return here.stored > new.stored or (here.stored == new.stored and here != base)


def is_object(path: str) -> bool:
    """Whether an object of a bucket is at the filer's `path`, and no part of an upload."""
    return bool(_OBJECT.fullmatch(path)) and "/.uploads/" not in path


def is_somebodys(path: str) -> bool:
    """Whether the object at `path` is a person's work."""
    found = _OBJECT.fullmatch(path)
    if found is None or found["bucket"] == names.NOTICES:
        return False
    return not _OUR_OWN.match(found["key"])


def bucket(path: str) -> str:
    """That the object at the filer's `path` is in."""
    return path.split("/", 3)[2]


def copy_name(name: str, site: str, written: int, again: int = 1) -> str:
    """Of the copy of what `site` has `written` (nanoseconds since the epoch), in its directory;
    of the `again`th, where names are taken. One that would be too long is cut."""
    when = datetime.fromtimestamp(written // _SECOND, UTC).strftime("%Y-%m-%dT%H.%M.%SZ")
    suffix = f".conflict-{site}-{when}" + (f"-{again}" if again > 1 else "")
    room = NAME_MOST - len(suffix.encode())
    return name.encode()[:room].decode(errors="ignore") + suffix


def marker(path: str, scratch_bucket: str) -> str:
    """The filer's path of the note by which the owner is told of the copy at `path`: in their
    personal bucket, whichever of theirs it is in. Objects in scratch are of the person whose name
    they begin with."""
    found = _OBJECT.fullmatch(path)
    if found is None:
        raise ValueError(path)
    bucket, key = found["bucket"], found["key"]
    owner = key.split("/", 1)[0] if bucket == scratch_bucket else names.owner(bucket)[0]
    return f"/buckets/{owner}/{MARKERS}/{bucket}/{key}"
