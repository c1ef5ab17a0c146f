"""What came from the other site for a bucket that takes nothing now, because its quota is used up.

SeaweedFS would refuse it, and bring it again only when it connects anew. So the gate takes it out
of the stream, and its path is written down here until the bucket takes files again, and this site
has what the other one has. Kept on disk: a restart forgets nothing.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from quaderno.config import Config
from quaderno.storage.conflicts import Version


def path(config: Config) -> Path:
    """Of the database."""
    return config.dir / "replication" / "owed.sqlite"


class Owed:
    """Paths in the filer. With each are the versions here that the other site's change was made
    to: where one of them is here still, nobody has changed the object at both sites."""

    def __init__(self, database: Path) -> None:
        self._database = sqlite3.connect(database)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS owed (path TEXT PRIMARY KEY, known TEXT)"
        )
        rows = self._database.execute("SELECT path, known FROM owed")
        self._known = {path: _read(known) for path, known in rows}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def known(self, path: str) -> Sequence[Version]:
        """None where nothing is owed, too."""
        return self._known.get(path, ())

    def note(self, owed: Mapping[str, Iterable[Version]]) -> None:
        """These paths are owed, with the versions known; what was known before still is."""
        found = {
            path: list(dict.fromkeys([*self.known(path), *known])) for path, known in owed.items()
        }
        rows = [(path, _write(known)) for path, known in found.items()]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO owed VALUES (?, ?)", rows)
        self._known |= found

    def settle(self, path: str) -> None:
        """It is no more."""
        if self._known.pop(path, None) is None:
            return
        with self._database:
            self._database.execute("DELETE FROM owed WHERE path = ?", (path,))

    def outside(self, closed: Iterable[str]) -> list[str]:
        """What is owed to buckets other than these, directories before what is in them."""
        shut = tuple(f"/buckets/{bucket}/" for bucket in closed)
        return sorted(path for path in self._known if not path.startswith(shut))


def _write(known: Iterable[Version]) -> str:
    rows = [[each.written, each.size, each.md5.hex(), each.order, each.stored] for each in known]
    return json.dumps(rows)


def _read(text: str) -> list[Version]:
    return [
        Version(written, size, bytes.fromhex(md5), order, stored)
        for written, size, md5, order, stored in json.loads(text)
    ]
