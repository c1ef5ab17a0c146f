"""What a server says of files that exist nowhere else, and what a person is told of it; pure.

The reports are written in a container that the person controls, so they are read strictly: only
what is expected, within bounds, and nothing in them decides about anybody else.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quaderno.hub.inside import InsideError
from quaderno.quantities import say_amount

PROGRAM = "quaderno-workarea"
NAMED = 20  # files that a notice names

Amount = Annotated[int, Field(ge=0, lt=2**63)]
Path = Annotated[str, Field(max_length=4 * 4096)]
Storage = Literal["ok", "read-only", "full", "away"]


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


R = TypeVar("R", bound=_Report)


class File(_Report):
    """A file below `/workarea`; why it was left, if it was."""

    path: Path
    bytes: Amount
    reason: Literal["", "limit", "storage", "time", "name", "unreadable"] = ""


class Sums(_Report):
    """How many files, of how many bytes; some of them by name."""

    count: Amount
    bytes: Amount
    files: Annotated[list[File], Field(max_length=50)] = []


class Look(Sums):
    """The files that exist only in a server, and whether they could be copied."""

    left_out: Annotated[list[Path], Field(max_length=20)]
    unseen: Amount
    complete: bool
    storage: Storage


class Saved(_Report):
    """What was copied where, and what was left; `failed` of these could be tried again."""

    directory: Annotated[
        str | None, Field(pattern=r"^cloud_storage/[a-z0-9-]{1,40}/saved/[0-9T-]{15,24}$")
    ]
    copied: Sums
    left: Sums
    changing: Amount
    failed: Amount
    storage: Storage
    complete: bool
    unseen: Amount

    @property
    def saw_all(self) -> bool:
        """Whether no file can have been overlooked."""
        return self.complete and not self.unseen


def parse_look(answer: bytes) -> Look:
    """What `quaderno-workarea list --json` printed. Raises InsideError."""
    return _parse(Look, answer)


def parse_saved(answer: bytes) -> Saved:
    """What `quaderno-workarea save --json` printed. Raises InsideError."""
    return _parse(Saved, answer)


def _parse(kind: type[R], answer: bytes) -> R:
    try:
        return kind.model_validate_json(answer)
    except ValidationError as error:
        raise InsideError(f"{PROGRAM} answers nonsense: {error.error_count()} errors") from error


# --- what a person is told


# `service`: with the whole of it, by its operators; `ended`: by itself; `memory`: at its limit;
# `node`: engine or machine were restarted; `restart`: the hub was, before the server had started.
Why = Literal[
    "person", "administrator", "service", "idle", "age", "ended", "memory", "node", "restart"
]


class Stop(_Report):
    """How a server was stopped; kept with the hub's record of it until the next one is."""

    at: str  # ISO 8601, UTC
    by: Why
    saved: Saved | None = None
    problem: str = ""  # a sentence: why nothing is known of its files
    limit: Amount = 0
    memory: Amount = 0  # the server's limit, where that was why
    peak: Amount = 0  # the most that it was seen to have, in that case
    seen: bool = False  # the notice was dismissed


def now() -> str:
    """For `Stop.at`."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_GONE = "What existed only in it is gone, unless it was copied to cloud_storage, below saved."
_WHY = {
    "idle": "Your last server was stopped because nothing had happened in it for long.",
    "age": "Your last server was stopped because it had run for as long as servers may.",
    "administrator": "Your last server was stopped by an administrator.",
    "service": "Your last server was stopped because the operators of this service stopped all "
    "of it.",
    "person": "",
    "ended": f"Your last server ended without being stopped. {_GONE}",
    "memory": "Your last server was ended because it needed more memory than it had "
    f"({{memory}}{{peak}}). Choose more memory, or work on less data at a time. {_GONE}",
    "node": f"Your last server ended because the machine that it ran on was restarted. {_GONE}",
    "restart": "The service was restarted while your server was starting. Start it again.",
}
UNKNOWN = (
    "Your server did not say which of its files existed nowhere else. What was not in "
    "cloud_storage or local is gone."
)
_UNSTOPPED = ("ended", "memory", "node")
_REASONS = {
    "storage": "cloud_storage did not take it",
    "time": "there was no time left",
    "name": "cloud_storage cannot have this name",
    "unreadable": "it cannot be read",
}


def notice(stop: Stop | None) -> dict[str, Any] | None:
    """What the next page says about the last stop: `sentences` and `files`; None for nothing."""
    if stop is None or stop.seen:
        return None
    told = list(_sentences(stop))
    if not told and stop.by == "person":
        return None
    peak = f"; shortly before, its peak was {say_amount(stop.peak)}" if stop.peak else ""
    why = _WHY[stop.by].format(memory=say_amount(stop.memory), peak=peak)
    files = stop.saved.left.files[:NAMED] if stop.saved else []
    return {
        "at": stop.at,
        "sentences": [why, *told] if why else told,
        "files": [f"{file.path} ({say_amount(file.bytes)}): {_why(file, stop)}" for file in files],
        "lost": bool(
            stop.by in _UNSTOPPED or stop.problem or (stop.saved and stop.saved.left.count)
        ),
    }


def _sentences(stop: Stop) -> Iterator[str]:
    if stop.problem:
        yield stop.problem
    saved = stop.saved
    if saved and saved.directory:
        were = "was" if saved.copied.count == 1 else "were"
        yield (
            f"When it stopped, {files(saved.copied)} that existed only there {were} copied to "
            f"{saved.directory}/."
        )
    if saved and saved.changing:
        which = count(saved.changing)
        yield f"Something was still writing to {which} of them: look whether all is there."
    if saved and saved.left.count:
        were = "was" if saved.left.count == 1 else "were"
        gone = "is gone" if saved.left.count == 1 else "are gone"
        yield f"{files(saved.left)} {were} not copied and {gone}:"
    elif saved and not saved.complete:
        yield "There were more files than could be looked at; the others are gone."


def _why(file: File, stop: Stop) -> str:
    if file.reason == "limit":
        return f"more than {say_amount(stop.limit)} in all is not copied unasked"
    return _REASONS.get(file.reason, "it was left")


def unsaved(saved: Saved) -> str:
    """Why a stop was put off: one sentence with what could not be copied."""
    if not saved.left.count:
        return (
            "Not all of your server could be looked at, so files that exist only there may be "
            f"left. Copied so far: {files(saved.copied)}."
        )
    first = ", ".join(file.path for file in saved.left.files[:3])
    states = {
        "read-only": "cloud_storage is read-only now",
        "full": "cloud_storage has no room left",
        "away": "cloud_storage is not there now",
    }
    reason = states.get(saved.storage) or _REASONS.get(
        saved.left.files[0].reason if saved.left.files else "", "something went wrong"
    )
    return f"{files(saved.left)} could not be copied, because {reason}: {first}."


def files(sums: Sums) -> str:
    """As `3 files (2 MB)`."""
    return f"{count(sums.count)} ({say_amount(sums.bytes)})"


def count(number: int) -> str:
    """As `3 files`."""
    return "1 file" if number == 1 else f"{number} files"
