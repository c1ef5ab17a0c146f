"""What is in a link, and that nobody else can read or make one."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.config import generate
from quaderno.files import links, places
from quaderno.files.store import Keys, Store

CONFIG = generate(Path("/q"))
TEXT = st.text(max_size=200)


class Written:
    """A store that keeps what is put into it."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: N803
        self.objects[f"{Bucket}/{Key}"] = Body


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
