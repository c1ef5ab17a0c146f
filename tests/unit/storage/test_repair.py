"""What is done with cached files after another boot of the machine, which may have cost a part."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno.storage import boots, cache, mounts, repair, rescued
from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Object

WORK, EARLIER = b"w" * 10_000, b"e" * 10_000


class Store:
    """The objects of one bucket, by key; they were written long ago."""

    def __init__(self, **objects: bytes) -> None:
        self._objects = objects

    def head(self, _bucket: str, key: str) -> Object | None:
        content = self._objects.get(key)
        return None if content is None else Object(len(content), 1000.0, f'"{_digest(content)}"')

    def read(self, _bucket: str, key: str, start: int, end: int, _etag: str) -> bytes:
        return self._objects[key][start:end]


def _digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def plan(tmp_path: Path) -> MountPlan:
    plan = mounts.plan(configuration.generate(tmp_path), "alice")
    plan.state.mkdir(parents=True)
    return plan


def put(
    plan: MountPlan, data: bytes, *, dirty: bool, origin: bytes = b"", name: str = "file"
) -> CachedFile:
    """A cached file that is described as WORK, made from `origin`; `data` is what there is."""
    file = CachedFile(
        plan.home,
        name,
        cache.data_root(plan, plan.home) / name,
        cache.description_root(plan, plan.home) / name,
    )
    for path in (file.data, file.meta):
        path.parent.mkdir(parents=True, exist_ok=True)
    file.data.write_bytes(data)
    fingerprint = f"{len(origin)},{_digest(origin)}" if origin else ""
    fields = {"Dirty": dirty, "Size": len(WORK), "Fingerprint": fingerprint}
    file.meta.write_text(json.dumps(fields | {"Rs": [{"Pos": 0, "Size": len(WORK)}]}))
    return file


def mend(plan: MountPlan, store: Store) -> None:
    damages = repair.survey(plan, rebooted=True)
    repair.repair(plan, damages, store, None)  # type: ignore[arg-type]


def kept(plan: MountPlan) -> list[bytes]:
    return [path.read_bytes() for path in rescued.waiting(plan)]


def is_to_be_uploaded(file: CachedFile) -> bool:
    description = file.describe()
    return bool(description and description.dirty and file.data.exists())


def test_a_whole_change_is_uploaded(plan: MountPlan) -> None:
    file = put(plan, WORK, dirty=True, origin=EARLIER)
    mend(plan, Store(file=EARLIER))
    assert is_to_be_uploaded(file)
    assert kept(plan) == []


@pytest.mark.parametrize("left", [b"", WORK[:4096], None])
def test_remains_replace_no_object(plan: MountPlan, left: bytes | None) -> None:
    """Empty, cut off, or with a hole in place of what was written."""
    file = put(plan, left or b"", dirty=True, origin=EARLIER)
    if left is None:
        os.truncate(file.data, len(WORK))
    before = file.data.read_bytes()
    mend(plan, Store(file=EARLIER))
    assert not file.data.exists()
    assert kept(plan) == [before]


@pytest.mark.parametrize("description", ["", "{"])
def test_remains_without_a_description_replace_no_object(plan: MountPlan, description: str) -> None:
    file = put(plan, WORK[:4096], dirty=True)
    file.meta.write_text(description)
    mend(plan, Store(file=EARLIER))
    assert not file.data.exists()
    assert kept(plan) == [WORK[:4096]]


def test_a_new_file_is_uploaded_or_what_is_left_of_it_kept(plan: MountPlan) -> None:
    whole, cut = put(plan, WORK, dirty=True), put(plan, WORK[:9], dirty=True, name="cut")
    mend(plan, Store())
    assert is_to_be_uploaded(whole)
    assert not cut.data.exists()
    assert kept(plan) == [WORK[:9]]


@pytest.mark.parametrize(
    ("here", "there", "uploaded", "rescued"),
    [
        (WORK, WORK, False, []),
        (WORK, EARLIER, False, [WORK]),  # a change of which the description does not know yet
        (WORK, None, True, []),  # the store has lost what it took last
        (WORK[:9], None, False, [WORK[:9]]),
    ],
)
def test_what_was_in_use_last_is_compared(
    plan: MountPlan, here: bytes, there: bytes | None, uploaded: bool, rescued: list[bytes]
) -> None:
    file = put(plan, here, dirty=False, origin=WORK)
    mend(plan, Store() if there is None else Store(file=there))
    assert is_to_be_uploaded(file) is uploaded
    assert file.data.exists() is uploaded
    assert kept(plan) == rescued


def test_the_rest_of_what_is_unchanged_is_fetched_again(
    plan: MountPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks may never have reached the disk."""
    old = put(plan, WORK, dirty=False, origin=WORK, name="old")
    last = put(plan, WORK, dirty=True)
    shared = plan.cache / "vfs" / "scratch" / "scratch" / "bob" / "file"
    shared.parent.mkdir(parents=True)
    shared.write_bytes(WORK)
    when = {old.data: 1000.0, old.meta: 1000.0, last.data: 2000.0, last.meta: 2000.0}
    monkeypatch.setattr(repair, "_changed_at", when.__getitem__)
    damages = repair.survey(plan, rebooted=True)
    assert [damage.file for damage in damages] == [last]
    assert not old.data.exists()
    assert not shared.exists()


def test_another_boot_is_told_until_the_cache_is_in_order(plan: MountPlan) -> None:
    assert not boots.has_rebooted(plan), "it was never in use"
    boots.remember(plan)
    assert not boots.has_rebooted(plan)
    for text in ("", "\0" * 36, "1a7c0de0-another"):
        plan.boot.write_text(text)
        assert boots.has_rebooted(plan)
        assert boots.has_rebooted(plan)
    boots.remember(plan)
    assert not boots.has_rebooted(plan)


def test_at_one_of_two_sites_what_is_in_the_store_has_the_name(plan: MountPlan) -> None:
    """Although the file is the newer one: its owner may have gone on at the other site."""
    file = put(plan, WORK, dirty=True, origin=EARLIER)
    damages = repair.survey(plan)
    repair.repair(plan, damages, Store(file=b"theirs"), None, "bari")  # type: ignore[arg-type]
    assert not file.data.exists()
    (beside,) = rescued.waiting(plan)
    assert beside.read_bytes() == WORK
    assert beside.name.startswith("file.conflict-bari-")
