"""Links that people share: sealed here, decided by the store, listed and taken back by their maker.

A link holds two addresses that the maker's keys have signed: of the object, and of a note in the
maker's bucket. Only this program can read them. It sends the object as long as the store sends the
note, so to delete the note takes the link back, and nothing has to be remembered here.
"""

import base64
import contextlib
import hashlib
import json
import secrets
import time
import zlib
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from quaderno.files.places import Area
from quaderno.files.problems import PageError
from quaderno.files.store import Store, asking

FOLDER = ".quaderno/links/"  # of the notes, in the personal bucket
MOST_SHOWN = 100
_MOST_READ = 1000  # notes, most of which may be of links that have ended
AT_ONCE, WAIT = 64, 5  # downloads by links, and seconds that one more waits
LONGEST = 7 * 24 * 3600  # seconds; keys end sooner
_MOST_BYTES = 10_000  # of a note: two names of an object


@dataclass(frozen=True)
class Note:
    """What a maker is told of a link; `end` in Unix time."""

    area: str
    key: str
    end: int


@dataclass(frozen=True)
class Sealed:
    """What is in a link."""

    key: str
    object: str  # addresses
    note: str


class Sealer:
    """Seals and opens links with a key that follows from `secret`."""

    def __init__(self, secret: str) -> None:
        digest = hashlib.sha256(b"links of quaderno.files" + secret.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(digest))

    def seal(self, sealed: Sealed) -> str:
        """Both addresses hold the same session token, so most of one is compressed away."""
        text = json.dumps(asdict(sealed))
        return self._fernet.encrypt(zlib.compress(text.encode(), 9)).decode()

    def open(self, link: str) -> Sealed | None:
        """None where it was not sealed here."""
        try:
            return Sealed(**json.loads(zlib.decompress(self._fernet.decrypt(link.encode()))))
        except (InvalidToken, ValueError, zlib.error):
            return None


def make(mine: Store, bucket: str, theirs: Store, area: Area, key: str, seconds: int) -> Sealed:
    """Write the note with the maker's own keys, and sign both addresses for `seconds`; that of the
    object with the keys that open its area. Blocks; raises PageError."""
    note = Note(area.name, key, int(time.time()) + seconds)
    name = FOLDER + secrets.token_urlsafe(12)
    with asking("make a link"):
        mine.s3.put_object(Bucket=bucket, Key=name, Body=json.dumps(asdict(note)).encode())
    return Sealed(key, theirs.link(area.bucket, key, seconds), mine.link(bucket, name, seconds))


def all_of(store: Store, bucket: str) -> dict[str, Note]:
    """The notes of MOST_SHOWN links that live, by their names; those of others are deleted, and
    those that cannot be understood. Blocks; raises PageError: a store that does not answer ends no
    link."""
    found: dict[str, Note] = {}
    for entry in store.first_below(bucket, FOLDER, _MOST_READ):
        if len(found) == MOST_SHOWN:
            break
        try:
            note = _read(store.begin(bucket, entry.key, _MOST_BYTES))
        except PageError as problem:
            if problem.status != HTTPStatus.NOT_FOUND:
                raise
            continue  # taken back meanwhile
        if note is None or not 0 < note.end - time.time() <= LONGEST:
            store.delete(bucket, entry.key)
        else:
            found[entry.key.removeprefix(FOLDER)] = note
    return found


def take_back(store: Store, bucket: str, name: str) -> None:
    """End the link whose note has this name. Blocks; raises PageError."""
    store.delete(bucket, FOLDER + name.rpartition("/")[2])


def _read(text: bytes) -> Note | None:
    with contextlib.suppress(ValueError, TypeError, KeyError, OverflowError, RecursionError):
        told: Any = json.loads(text)
        return Note(str(told["area"]), str(told["key"]), int(told["end"]))
    return None
