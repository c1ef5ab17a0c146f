"""Where Jupyter keeps what is its own: in `local` where it can, in the container where it cannot.

Never in `cloud_storage`: each small write to a database would upload all of it, and SQLite's locks
do not reach other machines.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

WORKAREA = Path("/workarea")
LOCAL = WORKAREA / "local" / ".quaderno"
PASSING = Path.home() / ".quaderno"
"""Gone with the server."""

_ROOM = 64 * 1024  # bytes; an empty database of SQLite and its journal


def place(name: str) -> Path:
    """A directory for `name`, theirs alone, in which there is room to begin with."""
    if has_room(LOCAL / name):
        return LOCAL / name
    directory = PASSING / name
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def has_room(directory: Path) -> bool:
    """Whether `directory`, made if need be, can be written to now."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(_ROOM))
            probe.flush()
    except OSError:
        return False
    return True
