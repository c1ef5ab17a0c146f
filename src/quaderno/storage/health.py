"""How a person's storage is, in a level and a sentence for them. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from quaderno.quantities import say_amount
from quaderno.storage.states import State

NOTICE_AT = 0.8  # of the quota
LATE = 60.0  # seconds an upload may wait before it is a matter of concern


class Level(StrEnum):
    """How much of a person's attention it wants."""

    OK = "ok"
    BUSY = "busy"  # passes by itself
    WARNING = "warning"  # nothing is lost, something does not work
    ERROR = "error"  # wants something done


@dataclass(frozen=True)
class Pending:
    """Changed files that are not in the object store: bytes; `oldest` in seconds."""

    files: int = 0
    bytes: int = 0
    oldest: float | None = None


@dataclass(frozen=True)
class Refused:
    """A file that the store does not take, where its owner sees it, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Quota:
    """Of the personal bucket, in bytes, 0 without a limit; `full` when it takes nothing more, and
    `cleaning` how many seconds it may be written to nevertheless."""

    limit: int
    used: int
    full: bool = False
    cleaning: float | None = None

    @property
    def part(self) -> float:
        """How much of it is used; 1 is all."""
        return self.used / self.limit if self.limit else 0.0

    def describe(self) -> dict[str, Any]:
        """As the API shows it; `text` in the units of the settings."""
        of = f" of {say_amount(self.limit)}" if self.limit else ""
        return {
            "limit": self.limit,
            "used": self.used,
            "full": self.full,
            "cleaning": None if self.cleaning is None else round(self.cleaning),
            "text": f"{say_amount(self.used)}{of} used",
        }


@dataclass(frozen=True)
class Figures:
    """What is known of the storage of one person on this node."""

    pending: Pending = field(default_factory=Pending)
    refused: tuple[Refused, ...] = ()
    rescued: int = 0
    conflicts: tuple[str, ...] = ()  # where copies are of what was changed at two sites
    read_only: str = ""  # why nothing can be written; nothing when it can
    failing: bool = False  # uploads fail, and wait for another try
    aside: int = 0  # of the rescued files, those that are on this node still
    quota: Quota | None = None

    def describe(self) -> dict[str, Any]:
        """As the API shows it."""
        oldest = self.pending.oldest
        return {
            "pending": {
                "files": self.pending.files,
                "bytes": self.pending.bytes,
                "oldest": None if oldest is None else round(oldest, 1),
            },
            "refused": [{"path": file.path, "reason": file.reason} for file in self.refused],
            "rescued": self.rescued,
            "conflicts": list(self.conflicts),
            "read_only": bool(self.read_only),
            "quota": self.quota and self.quota.describe(),
        }


def judge(state: State, figures: Figures, reason: str = "") -> tuple[Level, str]:
    """The level, and what to say: what happened, to what, what to do."""
    if state is State.WAIT_KEYS:
        return Level.ERROR, f"Your storage is not connected: log in again. ({reason})"
    if state is State.WAIT_LEASE:
        return Level.ERROR, reason
    if state in (State.WAIT_S3, State.CRASHED):
        return Level.WARNING, "Your storage is being connected again. Nothing is lost; wait."
    if state is State.UNMOUNTED and not figures.pending.files:
        return Level.OK, "Everything is in the object store."
    if figures.refused:
        return Level.ERROR, _refused(figures)
    if figures.read_only:
        return Level.ERROR, figures.read_only + _aside(figures)
    if figures.quota and figures.quota.cleaning is not None:
        return Level.WARNING, _cleaning(figures.quota.cleaning) + _aside(figures)
    if state in (State.PREPARE, State.MOUNTING):
        return Level.BUSY, "Your storage is being connected."
    if figures.failing or (figures.pending.oldest or 0) > LATE:
        return Level.WARNING, _waiting(figures.pending, failing=figures.failing)
    if figures.pending.files:
        return Level.BUSY, f"{_are(figures.pending.files)} being saved to the object store."
    return _at_rest(figures)


def _cleaning(seconds: float) -> str:
    minutes = max(round(seconds / 60), 1)
    time = "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"Your quota is used up. For {time} you can delete files; new ones may be refused."


def _at_rest(figures: Figures) -> tuple[Level, str]:
    quota = figures.quota
    if quota and quota.part >= NOTICE_AT:
        used = f"{quota.part:.0%} of your quota is used"
        return Level.WARNING, f"Everything is saved. {used}: delete what you do not need."
    if figures.conflicts:
        return Level.WARNING, _twice(figures.conflicts)
    if figures.rescued:
        number = "1 file is" if figures.rescued == 1 else f"{figures.rescued} files are"
        return Level.OK, f"Everything is saved. {number} kept in .quaderno/rescued for you."
    return Level.OK, "Everything is saved."


def _twice(copies: tuple[str, ...]) -> str:
    says, first = "Everything is saved.", copies[0]
    if len(copies) == 1:
        return (
            f"{says} A file was changed at two sites, so both versions are kept, the other one as "
            f"{first}. Delete or rename the one you do not need."
        )
    return (
        f"{says} {len(copies)} files were changed at two sites, so both versions are kept, the "
        f"other ones beside them as {first}, for example. Delete or rename those you do not need."
    )


def _aside(figures: Figures) -> str:
    """What is rescued and could not be brought into the bucket, after another sentence."""
    if not figures.aside:
        return ""
    files = "1 rescued file waits" if figures.aside == 1 else f"{figures.aside} rescued files wait"
    return (
        f" {files} on this node until your bucket takes {'it' if figures.aside == 1 else 'them'}."
    )


def _refused(figures: Figures) -> str:
    first, more = figures.refused[0], len(figures.refused) - 1
    others = "" if not more else " and 1 other" if more == 1 else f" and {more} others"
    return (
        f"{first.path}{others}: {first.reason} The change is kept on this node; "
        "delete what you do not need, or ask for help."
    )


def _waiting(pending: Pending, *, failing: bool) -> str:
    one = pending.files == 1
    files = "1 file waits" if one else f"{pending.files} files wait"
    it_is = "it is" if one else "they are"
    why = f"the object store does not take {'it' if one else 'them'} now; " if failing else ""
    return f"{files} to be saved: {why}{it_is} kept on this node and sent as soon as possible."


def why_not_yet(count: int, *, failing: bool) -> str:
    """For operators: why the mounts cannot go away yet; nothing when they can."""
    if not count:
        return ""
    files, those = ("1 file is", "it") if count == 1 else (f"{count} files are", "them")
    why = f": the object store does not take {those}" if failing else ""
    return f"{files} not uploaded yet{why}"


def _are(count: int) -> str:
    return "1 file is" if count == 1 else f"{count} files are"
