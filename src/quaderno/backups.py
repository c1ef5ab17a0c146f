"""Copies of databases, taken before a new version changes their schema."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

DIRECTORY = "backups"
# A component whose upgrade fails starts again and again; its copies must not fill the disk.
_MOST, _WITHIN = 20, 24 * 3600  # copies, in so many seconds


@contextmanager
def copy(home: Path, name: str, suffix: str) -> Iterator[Path]:
    """A file to be filled; after that it is below `home`, with the time in its name, unless filling
    it has failed. Only its owner gets in there. Raises OSError, also when too many were taken."""
    directory = home / DIRECTORY
    directory.mkdir(mode=0o700, exist_ok=True)
    _require_few(directory, name)
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    unfinished = directory / f"{name}-{at}.new"
    try:
        yield unfinished
        unfinished.replace(directory / f"{name}-{at}.{suffix}")
    finally:
        unfinished.unlink(missing_ok=True)


def _require_few(directory: Path, name: str) -> None:
    since = time.time() - _WITHIN
    if sum(file.stat().st_mtime > since for file in directory.glob(f"{name}-*")) >= _MOST:
        raise OSError(
            f"{_MOST} copies were taken within a day, and no upgrade has succeeded: look at the "
            f"log of the first, and delete all but the first in {directory}"
        )


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent one, also while the database is in use; raises sqlite3.Error."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
