"""Which node may write a person's storage: its lease, and whether one that was found can be had.

Pure.
One object in the person's own part of the scratch bucket names the node that has their storage
mounted, and what of it is not in the store yet. Its age is reckoned by the store's clock alone
(when the object was written against the time of the answer), so that no node's clock matters.

Where two sites' stores replicate each other, each may have another lease for a while, and an old
one may come late. So leases have an order: who takes the storage says that it has it since later
than whoever had it before, and of two leases the later one counts, whichever was written last. For
that it is never removed: given back, it stays, as one that lasts no time.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

RENEWED_EACH = 5  # times in the time that it lasts
TRUSTED = 1 / 3  # of that time it is without doubt one's own
LASTS_MOST = 86_400  # seconds; whatever another node wrote, it is stale after a day
ORDER = "quaderno-lease"  # the object's metadata by which stores know which of two is the later one
_LEAST = timedelta(seconds=1)  # by which the next one is later


def key(username: str) -> str:
    """Of the lease of `username`, in the scratch bucket: a personal bucket that is full takes no
    object, this one included, and would be closed to who wants to make room in it."""
    return f"{username}/.quaderno/lease.json"


@dataclass(frozen=True)
class Lease:
    """What the object says; `files` of `size` bytes are not in the store yet, and it `lasts` so
    many seconds: not renewed for as long, it is stale. One that lasts none was given back."""

    node: str
    name: str
    since: datetime
    renewed: datetime
    files: int
    size: int
    lasts: int

    @property
    def returned(self) -> bool:
        """Whether its node has given the storage back, with all that it had."""
        return not (self.lasts or self.files)

    @property
    def order(self) -> str:
        """What is greater of the later of two leases; the same for as long as one node has it."""
        return f"{_text(self.since)} {self.node}"

    def text(self) -> str:
        """As it is written."""
        fields = {
            "node": self.node,
            "name": self.name,
            "since": _text(self.since),
            "renewed": _text(self.renewed),
            "dirty": {"files": self.files, "bytes": self.size},
            "lasts": self.lasts,
        }
        return json.dumps(fields, indent=1)

    @classmethod
    def read(cls, text: bytes) -> Self | None:
        """The reverse; None when it is not a lease."""
        try:
            fields = json.loads(text)
            since, renewed = (_time(fields[name]) for name in ("since", "renewed"))
            node, name = fields["node"], fields["name"]
            dirty, lasts = fields["dirty"], fields["lasts"]
            files, size = dirty["files"], dirty["bytes"]
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None
        if not all(isinstance(word, str) and word for word in (node, name)):
            return None
        if not all(type(number) is int and number >= 0 for number in (files, size, lasts)):
            return None
        return cls(node, name[:63], since, renewed, files, size, min(lasts, LASTS_MOST))


@dataclass(frozen=True)
class Found:
    """An object where the lease is kept: what it says, None when that is nonsense; the tag of this
    content; when it was written (Unix seconds) and its age (seconds), both by the store's clock."""

    lease: Lease | None
    etag: str
    written: float
    age: float


@dataclass(frozen=True)
class Decision:
    """Whether the storage is ours now; else which node has it, and whether its lease is `stale`:
    then the person may take it, whatever that node has not sent."""

    take: bool
    holder: Lease | None = None
    stale: bool = False


def decide(
    found: Found | None, node: str, chosen: str = "", mine: str = "", *, patient: bool = False
) -> Decision:
    """What `node` does about what it found.

    `chosen` is the tag of a lease that the person wants taken; one that was renewed since has
    another tag, and is no more to be had. `mine` is the order of this node's own lease: an earlier
    one is only on its way here still. Who is `patient` had the storage before: whoever has it now
    may be cut off from here, so a lease that is merely stale is left to them, for a day.
    """
    if found is None or found.lease is None or found.lease.node == node:
        return Decision(take=True)
    lease = found.lease
    if lease.returned or lease.order < mine:
        return Decision(take=True, holder=lease)
    stale = found.age >= lease.lasts
    theirs = bool(lease.files) or (patient and found.age < LASTS_MOST)
    return Decision(stale and (not theirs or found.etag == chosen), lease, stale)


def since(follows: Lease | None, node: str, own: datetime, now: datetime) -> datetime:
    """Since when `node` has what it takes `now`, where it found the lease `follows`; `own` is
    since when it had it last."""
    if follows is None:
        return max(now, own)
    if follows.returned or (follows.node != node and follows.since >= own):
        return max(now, own, follows.since + _LEAST)
    return max(own, follows.since)


def explain(decision: Decision) -> str:
    """For the person who waits: which node has their storage, since when, and what to do."""
    lease = decision.holder
    if lease is None:
        return ""
    since = lease.since.strftime("%Y-%m-%d %H:%M UTC")
    says = f"Your storage is in use on {lease.name} since {since}"
    if lease.files:
        says += f", and {_count(lease.files)} there to be saved"
    if not decision.stale:
        return f"{says}. Stop your server there: your storage appears here when all is saved."
    last = lease.renewed.strftime("%H:%M UTC")
    return (
        f"{says}. That node has not been heard of since {last}: wait until it is back, or connect "
        "your storage here, on the page My server. What it has not sent comes later then."
    )


def _count(files: int) -> str:
    return "1 file waits" if files == 1 else f"{files} files wait"


def _text(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime:
    """Raises ValueError, also when it has no zone, and TypeError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return time.astimezone(UTC)
