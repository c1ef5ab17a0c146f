"""Completing a changed file of which only parts are here, from the object that it is a change of.

What was never fetched is a hole in the cached file and comes from the object. A hole's size is a
multiple of the file system's block, though, so a block that was written in part only shows zeros
in the rest, where the object may have something else. Zeros at a block's edges, outside of what
the description names, are then most likely such a rest. As nobody can know, both readings are
kept: the caller sets the file aside as it was before this guess is made.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from quaderno.storage.cache import Description, Span, spans, subtract

BLOCK = 4096  # bytes; what a page of a file's cache is, and a block of common file systems
_AT_ONCE = 8 << 20  # bytes read from the object store and held in memory

Read = Callable[[int, int], bytes]  # of the object, from a byte to before another


@dataclass(frozen=True)
class Patches:
    """What to take from the object: where nothing is here, and where zeros may be a rest."""

    missing: tuple[Span, ...]
    doubtful: tuple[Span, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.doubtful)


def patches(data: Path, description: Description | None, object_size: int) -> Patches:
    """What the cached file lacks of an object of that size. Raises OSError.

    Beyond the size that the file had when the description was written nothing is taken: what is
    there has been written since, or is the zeros of a file that was made longer.
    """
    known = list(description.parts) if description else []
    with data.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        limit = min(size, object_size, description.size if description else size)
        here = list(spans(file.fileno(), size))
        missing = tuple(subtract((0, limit), known + here)) if limit else ()
        written = [
            part for span in here for part in subtract((span[0], min(span[1], limit)), known)
        ]
        return Patches(missing, tuple(_zero_edges(file.fileno(), written)))


def apply(data: Path, patches: Patches, read: Read, keep: Callable[[], None]) -> bool:
    """Write the patches into the file; whether that took a guess, before which `keep` is called.

    Done again after an interruption it ends the same. Raises OSError and what `read` raises.
    """
    status = data.stat()
    with data.open("rb+") as file:
        for start, end in pieces(patches.missing):
            _write(file.fileno(), read(start, end), start)
        guesses = [
            (start, found)
            for start, end in pieces(patches.doubtful)
            if any(found := read(start, end))
        ]
        if guesses:
            keep()
        for start, found in guesses:
            _write(file.fileno(), found, start)
        os.fsync(file.fileno())
    os.utime(data, ns=(status.st_atime_ns, status.st_mtime_ns))
    return bool(guesses)


def _zero_edges(descriptor: int, written: list[Span]) -> Iterator[Span]:
    """The zeros that begin or end a block, in the parts that are given."""
    for start, end in written:
        while start < end:
            stop = min(end, (start // BLOCK + 1) * BLOCK)
            yield from _edges(os.pread(descriptor, stop - start, start), start)
            start = stop


def _edges(block: bytes, start: int) -> Iterator[Span]:
    end = start + len(block)
    first = start + len(block) - len(block.lstrip(b"\0"))
    last = start + len(block.rstrip(b"\0"))
    if first == end:
        yield start, end
        return
    if first > start:
        yield start, first
    if last < end:
        yield last, end


def pieces(parts: tuple[Span, ...]) -> Iterator[Span]:
    """The same parts, none longer than what is read at once."""
    for start, end in parts:
        while start < end:
            stop = min(end, start + _AT_ONCE)
            yield start, stop
            start = stop


def _write(descriptor: int, content: bytes, start: int) -> None:
    view = memoryview(content)
    while view:
        count = os.pwrite(descriptor, view, start)
        view, start = view[count:], start + count
