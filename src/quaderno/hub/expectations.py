"""How long starts took on this machine lately, by image: what people may expect of the next one.

A start that had to fetch its image says nothing of one that had not, so that they are kept apart.
"""

import statistics
from contextlib import suppress
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

_KEPT = 9  # starts of each image: one that was slow for once does not count
_IMAGES = 200
_NOTES = TypeAdapter(dict[str, list[float]])  # seconds
_FETCHED = "fetched "


class StartTimes:
    """Kept in a file, which the hub alone reads and writes; without it, all begins anew."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._notes: dict[str, list[float]] = {}
        with suppress(OSError, ValidationError):
            self._notes = _NOTES.validate_json(file.read_bytes())

    def note(self, image: str, seconds: float, *, fetched: bool) -> None:
        """A start from `image` has taken so long. Raises nothing."""
        key = _key(image, fetched)
        self._notes[key] = [*self._notes.pop(key, []), round(seconds, 1)][-_KEPT:]
        if len(self._notes) > _IMAGES:
            del self._notes[next(iter(self._notes))]
        new = self._file.with_suffix(".new")
        with suppress(OSError):
            new.write_bytes(_NOTES.dump_json(self._notes))
            new.replace(self._file)

    def usual(self, image: str, *, fetched: bool) -> float | None:
        """The median, in seconds; None when there was none yet."""
        notes = self._notes.get(_key(image, fetched))
        return statistics.median(notes) if notes else None

    def expected(self, image: str, *, here: bool) -> str:
        """For whoever chooses `image`, which is on this machine or not; a sentence, or nothing."""
        usual = self.usual(image, fetched=not here)
        if here:
            return f"Usually ready in about {in_words(usual)}." if usual else ""
        before = f"has taken about {in_words(usual)}" if usual else "can take minutes"
        return f"Not on this machine yet: its first start downloads it, which {before}."


@cache
def shared(directory: Path) -> StartTimes:
    """Of the hub that works in `directory`."""
    return StartTimes(directory / "start-times.json")


def in_words(seconds: float) -> str:
    """No more exact than it is known: `4 s`, `35 s`, `2 min`."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 58:
        return f"{5 * round(seconds / 5)} s"
    return f"{max(1, round(seconds / 60))} min"


def _key(image: str, fetched: bool) -> str:
    return f"{_FETCHED}{image}" if fetched else image
