"""A folder as one zip file, made while it is sent: names that are safe to unpack, and its bytes."""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath

from zipstream import ZipStream

from quaderno.files import places
from quaderno.files.places import Entry

_CHUNK = 1 << 20  # bytes that are sent at once
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\<>:"|?*]')  # on some system where people unpack


def archive(
    entries: Iterable[Entry], prefix: str, read: Callable[[Entry], Iterable[bytes]]
) -> ZipStream:
    """The zip file of `entries`, whose bytes `read` gives when their turn comes. Its length is
    known before, so nothing is compressed; large sizes and many files are told in Zip64."""
    made = ZipStream(sized=True)
    by_key = {entry.key: entry for entry in entries}
    for key, name in names(by_key, prefix).items():
        entry = by_key[key]
        if name.endswith("/") and not entry.size:
            made.mkdir(name)
        else:  # what has a folder's name and content becomes a file in it
            file = f"{name}{places.name_of('')}" if name.endswith("/") else name
            made.add(read(entry), file, size=entry.size)
    return made


def names(keys: Iterable[str], prefix: str) -> dict[str, str]:
    """The name of each of `keys` in the zip file: relative, without steps upwards, each once, and
    no file where there is a folder. Markers of folders end in a slash; `prefix` itself has none."""
    ways = {
        key: [_safe(part) for part in key.removeprefix(prefix).split("/") if part]
        for key in sorted(keys)
    }
    taken = {
        "/".join(way[:n]).casefold()
        for key, way in ways.items()
        for n in range(1, len(way) + key.endswith("/"))
    }
    given: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for key, way in ways.items():
        if key.endswith("/") and way:
            given[key] = "/".join(way) + "/"
        elif way:
            given[key] = _free(PurePosixPath(*way), taken, numbers)
            taken.add(given[key].casefold())
    return given


def some(chunks: Iterator[bytes]) -> bytes:
    """The next bytes, about as many as are sent at once; none at the end."""
    taken, size = [], 0
    for chunk in chunks:
        taken.append(chunk)
        size += len(chunk)
        if size >= _CHUNK:
            break
    return b"".join(taken)


def _safe(part: str) -> str:
    plain = _UNSAFE.sub("_", part)
    return "_" * len(plain) if plain.strip(". ") == "" else plain


def _free(path: PurePosixPath, taken: set[str], numbers: dict[str, int]) -> str:
    """`path`, or with a number that is not `taken`; `numbers` are the last ones, so that thousands
    of one name are not counted from the beginning each time."""
    wanted = str(path).casefold()
    if wanted not in taken:
        return str(path)
    for n in itertools.count(numbers.get(wanted, 1) + 1):
        name = str(path.with_name(f"{path.stem} ({n}){path.suffix}"))
        if name.casefold() not in taken:
            break
    numbers[wanted] = n
    return name
