"""In what order a folder is shown, and what a search finds; pure."""

import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime

from quaderno.files import places
from quaderno.files.places import Entry

COLUMNS = {"name": "Name", "size": "Size", "changed": "Changed"}
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def usable_sort(text: str) -> str:
    """`text` if it names a column, with a minus in front for the other way round; else empty, which
    is the order of the store."""
    return text if text.removeprefix("-") in COLUMNS else ""


def next_sort(column: str, sort: str) -> str:
    """What a click on the head of `column` leads to, from the order `sort`."""
    return f"-{column}" if (sort or "name") == column else column


def arranged(entries: Iterable[Entry], sort: str) -> list[Entry]:
    """Folders first, which have neither size nor date, then files; people's order of names."""
    column, down = sort.removeprefix("-"), sort.startswith("-")
    named = sorted(entries, key=lambda entry: plain(places.name_of(entry.key)))
    folders = [entry for entry in named if entry.size is None]
    files = [entry for entry in named if entry.size is not None]
    if column == "name" and down:
        return folders[::-1] + files[::-1]
    if column == "size":
        files.sort(key=lambda entry: entry.size or 0, reverse=down)
    elif column == "changed":
        files.sort(key=lambda entry: entry.modified or _LONG_AGO, reverse=down)
    return folders + files


def plain(text: str) -> str:
    """Without the difference between capital and small letters, and between ways to write one."""
    return unicodedata.normalize("NFC", text).casefold()


class Finder:
    """A search below `prefix` for what has all words of `wanted` in its name: files, and folders,
    which are known only by the files in them. It goes on after the key `after`."""

    def __init__(self, prefix: str, wanted: str, after: str = "") -> None:
        self._prefix, self._words = prefix, plain(wanted).split()
        self._seen = self._folders(after)

    def found(self, key: str) -> list[str]:
        """What is found at `key`, which follows in the order of keys: new folders, the file."""
        folders = self._folders(key)
        new = [folder for folder in folders if folder not in self._seen]
        self._seen = folders
        file = [] if key.endswith("/") else [key]
        return [found for found in [*new, *file] if self._has(found)]

    def _folders(self, key: str) -> list[str]:
        """Those below the prefix in which `key` lies; a marker lies in its own folder."""
        parts = key.removeprefix(self._prefix).split("/")
        return [self._prefix + "/".join(parts[:n]) + "/" for n in range(1, len(parts))]

    def _has(self, key: str) -> bool:
        name = plain(places.name_of(key))
        return all(word in name for word in self._words)
