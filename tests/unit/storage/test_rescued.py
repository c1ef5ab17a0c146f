"""Files that are kept aside, on this node and in the bucket."""

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quaderno import config as configuration
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import cache, mounts, rescued, strays
from quaderno.storage.cache import CachedFile
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Object

ESCAPE = re.compile(rb"\\(\\|x[0-9a-f]{2})")
PLAN = mounts.plan(configuration.generate(Path("/q")), "alice")
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

    def head(self, *_: object) -> None:
        """There is nothing."""

    def put(self, _bucket: str, key: str, path: Path) -> None:
        if path.name in self.refuses:
            raise StorageRefusedError("The object store refused to take it (QuotaExceeded)")
        self.taken[key] = path.read_bytes()

    def put_if(self, _bucket: str, key: str, body: bytes, etag: str | None) -> str | None:
        assert etag is None
        if key in self.taken:
            return None
        self.taken[key] = body
        return '"tag"'


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


def test_a_path_that_is_too_long_for_a_key_is_shortened_and_told(plan: MountPlan) -> None:
    data, paths = plan.state / "data", [f"alice/{'d' * 200}/" * 5 + f"{end}/file" for end in "ab"]
    for path in paths:
        data.write_text(path)
        rescued.move(plan, data, path)
    store = FullBucket()
    assert deliver(plan, store) == 2
    delivered = {key: body for key, body in store.taken.items() if key.endswith("/file")}
    assert sorted(delivered.values()) == [path.encode() for path in paths]
    told = {key: store.taken[f"{key.removesuffix('/file')}.txt"] for key in delivered}
    assert all(delivered[key] in text for key, text in told.items())
    assert len(store.taken) == 4


def test_an_object_whose_copy_has_too_long_a_path_is_told_of_too(plan: MountPlan) -> None:
    copied = []

    class Store(FullBucket):
        def copy(self, *args: Any) -> None:
            copied.append(args[-1][1])

    store, name = Store(), "\udcff" * 200
    keep(plan, store, name)
    ((told, text),) = store.taken.items()
    assert copied[0].startswith(f"{told.removesuffix('.txt')}/")
    assert rb"alice/\xff\xff" in text


def _meant(escape: bytes) -> bytes:
    return escape if escape == b"\\" else bytes.fromhex(escape[1:].decode())


NAMES = st.binary(min_size=1, max_size=255).map(lambda name: re.sub(rb"[/\0]", b"_", name))
PATHS = st.lists(NAMES.filter(lambda name: name not in (b".", b"..")), min_size=1, max_size=6)


@given(paths=st.lists(PATHS, min_size=1, max_size=4, unique_by=lambda path: b"/".join(path)))
@example(paths=[[b"\xff" * 255], [b"\xff" * 254 + b"\xfe"], [b"\xff" * 60, b"x.ipynb"]])
@example(paths=[[b"\xff" * 250 + b".csv"], [b"." + b"\xff" * 254], [b"\\xff" * 63, b"d" * 255] * 3])
def test_every_path_has_a_key_of_its_own_that_stores_take(paths: list[list[bytes]]) -> None:
    places = [Path(os.fsdecode(b"/".join(path))) for path in paths]
    keys = [rescued.key(PLAN, PLAN.rescued / "2030" / "alice" / place) for place in places]
    assert len({*keys}) == len(keys)
    for key, place in zip(keys, places, strict=True):
        assert len(key.encode()) <= 1024
        assert all(len(part) <= 255 for part in key.encode().split(b"/"))
        said = rescued.explanation(place).encode().split(b"\n", 1)[1].removesuffix(b"\n")
        assert ESCAPE.sub(lambda found: _meant(found[1]), said) == os.fsencode(place)


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


@pytest.mark.parametrize("area", [0, 1])
def test_what_two_sites_have_changed_is_brought_beside_it(plan: MountPlan, area: int) -> None:
    where = plan.writable[area]
    file = CachedFile(where, "deep/file.txt", plan.state / "data", plan.state / "meta")
    file.data.write_text("of bari")
    os.utime(file.data, (2, 2))
    store: Any = FullBucket()
    rescued.move_beside(plan, file, "bari", store)
    assert not file.data.exists()
    assert deliver(plan, store) == 1
    key = f"{file.key}.conflict-bari-1970-01-01T00.00.02Z"
    note = f".quaderno/conflicts/{where.bucket}/{key}"
    assert store.taken == {key: b"of bari", note: b""}
    assert rescued.waiting(plan) == []


def test_what_two_sites_have_changed_takes_no_name_that_is_taken(plan: MountPlan) -> None:
    for text in ("first", "second"):
        file = file_of(plan, "file.txt")
        file.data.write_text(text)
        os.utime(file.data, (2, 2))
        rescued.move_beside(plan, file, "bari", FullBucket())  # type: ignore[arg-type]
    assert [path.read_text() for path in rescued.waiting(plan)] == ["first", "second"]
