"""What is in a link, and that nobody else can read or make one."""

import json
import time
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.config import generate
from quaderno.files import links, places, problems
from quaderno.files.problems import PageError
from quaderno.files.store import Keys, Store

CONFIG = generate(Path("/q"))
TEXT = st.text(max_size=200)


class Written:
    """A store that keeps what is put into it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.objects[f"{Bucket}/{Key}"] = Body


class Notes:
    """A store in which these notes are; one that is a PageError cannot be read."""

    def __init__(self, notes: dict[str, bytes | PageError]) -> None:
        self.notes = {links.FOLDER + name: note for name, note in notes.items()}

    def first_below(self, *_: Any) -> list[places.Entry]:
        return [places.Entry(key) for key in self.notes]

    def begin(self, _: str, key: str, __: int) -> bytes:
        note = self.notes[key]
        if isinstance(note, PageError):
            raise note
        return note

    def delete(self, _: str, key: str) -> None:
        del self.notes[key]


def note(end: Any) -> bytes:
    return json.dumps({"area": "home", "key": "k", "end": end}).encode()


def test_what_is_no_note_of_a_living_link_is_deleted() -> None:
    now = int(time.time())
    odd = [b"", b"[1]", b"{}", b"[" * 9999, note(now - 1), note(1e400), note(10**30)]
    store: Any = Notes({**{f"{n}": each for n, each in enumerate(odd)}, "good": note(now + 999)})
    assert list(links.all_of(store, "ada")) == ["good"]
    assert list(store.notes) == [f"{links.FOLDER}good"]


def test_a_note_that_was_taken_back_meanwhile_is_passed_over() -> None:
    gone = PageError(HTTPStatus.NOT_FOUND, "gone")
    store: Any = Notes({"gone": gone, "good": note(int(time.time()) + 999)})
    assert list(links.all_of(store, "ada")) == ["good"]


def test_a_store_that_does_not_answer_ends_no_link() -> None:
    store: Any = Notes({"good": problems.store_away()})
    with pytest.raises(PageError):
        links.all_of(store, "ada")
    assert store.notes


def test_an_hour_is_3600_seconds() -> None:
    end = datetime.now(UTC) + timedelta(hours=2)
    store = Store(CONFIG, Keys("access", "secret", "session", end))
    written: Any = Written()
    store.s3 = written
    home = places.areas(CONFIG, "ada")["home"]
    sealed = links.make(store, "ada", store, home, "a b", 3600)
    (note,) = written.objects.values()
    assert json.loads(note)["key"] == sealed.key == "a b"
    for address in (sealed.object, sealed.note):
        assert parse_qs(urlsplit(address).query)["X-Amz-Expires"] == ["3600"]
    link = links.Sealer("s").seal(sealed)
    assert len(link) < 4000, "which browsers and mail programs take"
    assert links.Sealer("s").open(link) == sealed
    assert links.Sealer("another").open(link) is None


@given(st.builds(links.Sealed, TEXT, TEXT, TEXT))
def test_what_is_sealed_is_opened(sealed: links.Sealed) -> None:
    sealer = links.Sealer("s")
    assert sealer.open(sealer.seal(sealed)) == sealed


@pytest.mark.parametrize("link", ["", "x", "gAAAA", "é", "a" * 5000])
def test_nonsense_is_no_link(link: str) -> None:
    assert links.Sealer("s").open(link) is None
