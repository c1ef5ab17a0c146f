"""The other site's changes as they are judged, one after the other."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quaderno.storage import filer, filer_messages
from quaderno.storage.conflicts import Version
from quaderno.storage.filer import GivenUpError
from quaderno.storage.judge import Judge
from quaderno.storage.owed import Owed

PATH = "/buckets/ada/file"
SECOND = 10**9


class Store:
    """This site's; what is let through is put there by `Site.apply`."""

    def __init__(self) -> None:
        self.here: Any = None
        self.kept: list[Version] = []
        self.refuses = self.is_broken = False
        self.while_keeping: Callable[[], object] = lambda: None

    async def entry(self, path: str) -> Any:
        assert path == PATH
        return self.here

    async def version(self, path: str) -> Version | None:
        return filer.version(await self.entry(path))

    async def keep(self, path: str, version: Version) -> bool:
        if self.is_broken:
            raise GivenUpError(path)
        self.while_keeping()
        self.kept.append(version)
        return not self.refuses

    async def make_earlier(self, *_: Any) -> None:
        pass


def entry(text: str, second: int = 1) -> Any:
    """One of a file, as SeaweedFS's S3 stores it: with whole seconds."""
    made = filer_messages.EventNotification().new_entry
    made.name = "file"
    made.attributes.mtime, made.attributes.md5 = second, text.encode()
    return made


class Site:
    def __init__(self, directory: Path) -> None:
        self.store, self.owed = Store(), Owed(directory / "owed.sqlite")
        self.judge = Judge(self.store, self.owed)  # type: ignore[arg-type]
        self.judge.here = 1

    def see(self, old: Any, new: Any) -> Any:
        """What is let through of a change of the other site's."""
        event = filer_messages.EventNotification(
            old_entry=old, new_entry=new, new_parent_path="/buckets/ada", signatures=[2]
        )
        message = filer_messages.SubscribeMetadataResponse(
            directory="/buckets/ada", event_notification=event
        )
        asyncio.run(self.judge.judge(message))
        return message.event_notification

    def is_left(self, old: Any, new: Any) -> bool:
        event = self.see(old, new)
        return not event.HasField("old_entry") and not event.HasField("new_entry")

    def apply(self, old: Any, new: Any) -> None:
        """As `filer.sync` does: what has no later time is not written."""
        event = self.see(old, new)
        if event.HasField("new_entry"):
            stored = 0 if self.store.here is None else filer.content(self.store.here).stored
            if filer.content(event.new_entry).stored > stored:
                self.store.here = event.new_entry
        elif event.HasField("old_entry"):
            self.store.here = None

    def has(self, wanted: Any) -> bool:
        return filer.is_same(self.store.here, wanted)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


A, B, C, D = (entry(text) for text in "abcd")  # of one second


def test_what_is_brought_back_within_a_second_is_the_last_version(site: Site) -> None:
    for old, new in (None, A), (A, B), (B, A), (A, C):
        site.apply(old, new)
        assert site.has(new)
    for old, new in (C, A), (A, None), (None, A):
        site.apply(old, new)
        assert site.has(new)


def test_changes_that_come_again_take_nothing_back(site: Site) -> None:
    changes = [(None, A), (A, None), (None, B), (B, C)]
    for change in changes:
        site.apply(*change)
    for change in changes[:3]:
        assert site.is_left(*change)
    site.apply(*changes[3])
    site.apply(C, D)
    assert site.has(D)
    assert not site.store.kept


def test_those_of_which_the_last_was_not_made_are_made(site: Site) -> None:
    site.apply(None, A)
    site.see(A, B)
    site.see(B, C)
    for change in (None, A), (A, B), (B, C):
        site.apply(*change)
    assert site.has(C)


@pytest.mark.parametrize("is_made", [False, True])
def test_what_was_owed_is_brought_ahead_of_the_stream(site: Site, is_made: bool) -> None:
    """Where that is behind; nothing earlier stays over it, whenever it has been made."""
    site.apply(None, A)
    site.judge.close(frozenset({"ada"}))
    assert site.is_left(A, B)
    site.judge.close(frozenset())
    change = site.apply if is_made else site.see
    change(None, D)
    site.apply(A, B)
    assert site.has(D) or not is_made
    site.apply(B, C)
    assert site.has(D) or not is_made
    site.apply(C, D)
    assert site.has(D)
    later = entry("e")
    site.apply(D, later)
    assert site.has(later)
    assert not site.store.kept


def test_a_bucket_that_is_closed_meanwhile_takes_nothing(site: Site) -> None:
    site.store.here = entry("ours", 1)
    site.store.while_keeping = lambda: site.judge.close(frozenset({"ada"}))
    assert site.is_left(None, entry("theirs", 2))
    assert len(site.owed) == 1


def test_what_the_store_never_answers_for_is_not_brought_again(site: Site) -> None:
    theirs = entry("theirs", 2)
    site.store.here = entry("ours", 1)
    site.store.refuses = True
    assert site.is_left(None, theirs)
    assert len(site.owed) == 1
    site.store.is_broken = True
    assert site.is_left(None, theirs)
    assert not len(site.owed)


@pytest.mark.parametrize("is_made", [False, True])
def test_what_was_let_through_just_before_is_owed_unless_it_was_made(
    site: Site, is_made: bool
) -> None:
    site.apply(None, A)
    (site.apply if is_made else site.see)(A, B)
    since = site.judge.close(frozenset({"ada"}))
    assert set(since) == {PATH}
    assert not site.judge.close(frozenset({"ada"}))
    asyncio.run(site.judge.check(PATH, since[PATH]))
    assert (PATH in site.owed) is not is_made
    assert site.is_left(B, C)
    site.judge.close(frozenset())
    assert not site.judge.close(frozenset({"ada"}))  # it was owed before


def test_what_waits_before_that_is_looked_at_is_still_owed(site: Site) -> None:
    site.apply(None, A)
    since = site.judge.close(frozenset({"ada"}))
    assert site.is_left(A, B)
    asyncio.run(site.judge.check(PATH, since[PATH]))
    assert PATH in site.owed
