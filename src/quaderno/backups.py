"""Copies of databases, taken before a new version changes their schema."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

DIRECTORY = "backups"


@contextmanager
def copy(home: Path, name: str, suffix: str) -> Iterator[Path]:
    """A file to be filled; after that it is below `home`, with the time in its name, unless filling
    it has failed. Only its owner gets in there."""
    directory = home / DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    unfinished = directory / f"{name}-{at}.new"
    try:
        yield unfinished
        unfinished.replace(directory / f"{name}-{at}.{suffix}")
    finally:
        unfinished.unlink(missing_ok=True)


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent one, also while the database is in use; raises sqlite3.Error."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
