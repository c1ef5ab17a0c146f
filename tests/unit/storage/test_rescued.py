"""Files that are kept aside, on this node and in the bucket."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from quaderno import config as configuration
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import cache, mounts, rescued, strays
from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Object

OBJECT = Object(9, 1000.0, '"tag"')


class FullBucket:
    """Gives everything and takes nothing; with `refuses`, nothing of these names."""

    def __init__(self, *refuses: str) -> None:
        self.refuses = refuses
        self.taken: dict[str, bytes] = {}

    def copy(self, *_: object) -> None:
        raise StorageError("The object store refused to copy alice/file (InternalError)")

    def read(self, _bucket: str, _key: str, start: int, end: int, _etag: str) -> bytes:
        return b"elsewhere"[start:end]

    def put(self, _bucket: str, key: str, path: Path) -> None:
        if path.name in self.refuses:
            raise StorageRefusedError("The object store refused to take it (QuotaExceeded)")
        self.taken[key] = path.read_bytes()


class AwayStore(FullBucket):
    """Does not answer."""

    def read(self, *_: object) -> bytes:
        raise StorageError("The object store cannot be reached")


@pytest.fixture
def plan(tmp_path: Path) -> MountPlan:
    plan = mounts.plan(configuration.generate(tmp_path), "alice")
    plan.state.mkdir(parents=True)
    return plan


def file_of(plan: MountPlan, name: str) -> CachedFile:
    return CachedFile(plan.home, name, plan.state / "data", plan.state / "meta")


def keep(plan: MountPlan, store: Any, name: str = "file") -> None:
    rescued.keep_object(plan, file_of(plan, name), OBJECT, store)


def deliver(plan: MountPlan, store: Any) -> int:
    return rescued.deliver(plan, store, lambda: True)


def test_an_object_whose_copy_the_bucket_does_not_take_is_kept_on_the_node(plan: MountPlan) -> None:
    keep(plan, FullBucket())
    (kept,) = rescued.waiting(plan)
    assert kept.read_bytes() == b"elsewhere"
    assert kept.stat().st_mtime == OBJECT.modified
    assert list(plan.unfinished.iterdir()) == []
    store = FullBucket()
    assert deliver(plan, store) == 1
    assert list(store.taken.values()) == [b"elsewhere"]
    assert rescued.waiting(plan) == []


def test_an_object_that_cannot_be_had_is_an_error_and_leaves_nothing(plan: MountPlan) -> None:
    with pytest.raises(StorageError, match="reached"):
        keep(plan, AwayStore())
    assert rescued.waiting(plan) == []
    assert list(plan.unfinished.iterdir()) == []


def test_one_that_is_refused_keeps_no_other_waiting(plan: MountPlan) -> None:
    for name in ("1", "2", "3"):
        keep(plan, FullBucket(), name)
    assert deliver(plan, FullBucket("1", "3")) == 1
    assert [path.name for path in rescued.waiting(plan)] == ["1", "3"]
    with pytest.raises(StorageRefusedError, match="QuotaExceeded"):
        deliver(plan, FullBucket("1", "3"))
    assert [path.name for path in rescued.waiting(plan)] == ["1", "3"]


@pytest.mark.parametrize("name", ["notes.new", "é" * 127, "x" * 255, "\udcff"])
def test_files_of_any_name(plan: MountPlan, name: str) -> None:
    data = plan.state / "data"
    for put in (rescued.keep, rescued.move):
        data.write_text("work")
        put(plan, data, f"alice/{name}")
    file = CachedFile(plan.home, name, plan.state / "data", plan.state / "metas" / name)
    file.data.write_text("work")
    file.describe_as_changed()
    assert [path.name for path in file.meta.parent.iterdir()] == [name]
    store = FullBucket()
    assert deliver(plan, store) == 2
    assert list(store.taken.values()) == [b"work", b"work"]
    assert all(key.encode().startswith(b".quaderno/rescued/") for key in store.taken)


def test_a_path_that_is_too_long_for_a_key_is_shortened(plan: MountPlan) -> None:
    data, paths = plan.state / "data", [f"alice/{'d' * 200}/" * 5 + f"{end}/file" for end in "ab"]
    for path in paths:
        data.write_text(path)
        rescued.move(plan, data, path)
    store = FullBucket()
    assert deliver(plan, store) == 2
    assert sorted(store.taken.values()) == [path.encode() for path in paths]
    assert all(key.endswith("/file") and len(key) <= 1024 for key in store.taken)


def test_a_copy_that_nobody_looks_after_is_rescued(plan: MountPlan) -> None:
    """An earlier agent made it, and rclone, which went on, has dropped what it is a copy of."""
    copy = plan.strays / "alice" / "file"
    copy.parent.mkdir(parents=True)
    copy.write_text("work")
    assert strays.left(plan) == [copy]
    strays.Strays(plan).look(list(cache.files(plan)), set())
    assert [path.read_text() for path in rescued.waiting(plan)] == ["work"]
    assert strays.left(plan) == []


def test_a_copy_for_which_there_is_no_room_keeps_nothing_waiting(
    plan: MountPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "STRAY_AFTER", 0)
    roots = cache.data_root(plan, plan.home), cache.description_root(plan, plan.home)
    changed = []
    for name in ("1", "2", "3"):
        file = CachedFile(plan.home, name, *(root / name for root in roots))
        file.data.parent.mkdir(parents=True, exist_ok=True)
        file.data.write_text(name)
        file.describe_as_changed()
        changed.append(file)
    copy_sparse, large = cache.copy_sparse, changed[1].data

    def almost_full(source: Path, target: Path, unfinished: Path) -> None:
        if source == large:
            raise OSError(errno.ENOSPC, "No space left on device")
        copy_sparse(source, target, unfinished)

    monkeypatch.setattr(cache, "copy_sparse", almost_full)
    found = strays.Strays(plan)
    found.look(changed, set())
    assert {path.name for path in found.kept} == {"1", "3"}
    assert found.without_room == {large}
    monkeypatch.setattr(cache, "copy_sparse", copy_sparse)
    found.look(changed, set())
    assert len(found.kept) == 3
    assert found.without_room == set()


def test_a_disk_is_not_filled_by_a_copy_that_does_not_fit(
    plan: MountPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "STRAY_AFTER", 0)
    roots = cache.data_root(plan, plan.home), cache.description_root(plan, plan.home)
    file = CachedFile(plan.home, "file", *(root / "file" for root in roots))
    file.data.parent.mkdir(parents=True)
    file.data.write_bytes(b"work" * 4096)
    file.describe_as_changed()
    usage = shutil.disk_usage(plan.state)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=4096))
    found = strays.Strays(plan)
    found.look([file], set())
    assert found.kept == {}
    assert not plan.unfinished.exists()
