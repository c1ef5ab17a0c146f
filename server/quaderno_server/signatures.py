"""Which notebooks are trusted, so that a full disk costs trust and never a notebook.

Upstream's store lets an error of SQLite through, and the contents manager then neither opens nor
saves the notebook.
"""

from __future__ import annotations

import sqlite3

from nbformat.sign import MemorySignatureStore, SQLiteSignatureStore


class Signatures(SQLiteSignatureStore):
    """Remembers until the server ends what the database does not take."""

    def __init__(self, db_file: str) -> None:
        super().__init__(db_file)
        self._passing = MemorySignatureStore()

    def store_signature(self, digest: str, algorithm: str) -> None:
        try:
            super().store_signature(digest, algorithm)
        except sqlite3.Error as error:
            self._failed(error)
            self._passing.store_signature(digest, algorithm)

    def check_signature(self, digest: str, algorithm: str) -> bool:
        try:
            known = super().check_signature(digest, algorithm)
        except sqlite3.Error as error:
            self._failed(error)
            known = self._is_stored(digest, algorithm)
        return bool(known or self._passing.check_signature(digest, algorithm))

    def remove_signature(self, digest: str, algorithm: str) -> None:
        self._passing.remove_signature(digest, algorithm)
        super().remove_signature(digest, algorithm)

    def _is_stored(self, digest: str, algorithm: str) -> bool:
        """Upstream's question also writes down when it was asked."""
        question = "SELECT id FROM nbsignatures WHERE algorithm = ? AND signature = ?"
        try:
            return self.db.execute(question, (algorithm, digest)).fetchone() is not None
        except sqlite3.Error:
            return False

    def _failed(self, error: sqlite3.Error) -> None:
        self.log.warning("The list of trusted notebooks cannot be written: %s", error)
        self.db.rollback()
