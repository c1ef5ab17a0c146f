"""Lost changes that the store refuses."""

import itertools
import os
import time
from pathlib import Path
from typing import Any

import pytest

from quaderno import config as configuration
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import cache, mounts, rescued, strays
from quaderno.storage.cache import CachedFile
from quaderno.storage.health import Refused
from quaderno.storage.mounts import MountPlan
from quaderno.storage.states import REFUSED_MOST
from quaderno.storage.strays import Strays
from quaderno.storage.uploads import REFUSED_AFTER


class ChoosyStore:
    """Refuses these names, answers nothing at all about `silent` ones, and takes the rest."""

    def __init__(self, *refuses: str, silent: tuple[str, ...] = ()) -> None:
        self.refuses, self.silent = set(refuses), silent
        self.asked: list[str] = []
        self.taken: dict[str, bytes] = {}

    def head(self, _bucket: str, key: str) -> None:
        self.asked.append(key)
        if key in self.silent:
            raise StorageError("The object store cannot be reached")

    def put(self, _bucket: str, key: str, path: Path) -> None:
        if key in self.refuses:
            raise StorageRefusedError(f"The object store refused to take {key} (InvalidArgument)")
        self.taken[key] = path.read_bytes()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in seconds, as its only item."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def plan(tmp_path: Path) -> MountPlan:
    return mounts.plan(configuration.generate(tmp_path), "alice")


@pytest.fixture
def files(plan: MountPlan) -> list[CachedFile]:
    """Three that are changed, closed, and in no queue."""
    roots = cache.data_root(plan, plan.home), cache.description_root(plan, plan.home)
    found = [CachedFile(plan.home, name, *(root / name for root in roots)) for name in "abc"]
    for file in found:
        file.data.parent.mkdir(parents=True, exist_ok=True)
        file.data.write_text(f"work of {file.name}")
        file.describe_as_changed()
    return found


@pytest.fixture
def lost(plan: MountPlan, files: list[CachedFile], clock: list[float]) -> Strays:
    lost = Strays(plan)
    lost.look(files, set())
    clock[0] += strays.STRAY_AFTER
    lost.look(files, set())
    assert set(lost.kept) == {file.data for file in files}
    return lost


def give_back(lost: Strays, store: Any) -> list[str]:
    return [file.name for file in lost.return_all(store, lambda: True)]


def refuse_for_long(lost: Strays, store: Any, clock: list[float]) -> None:
    for _ in range(REFUSED_AFTER):
        give_back(lost, store)
        clock[0] += REFUSED_MOST


def test_one_that_is_refused_keeps_no_other_waiting(lost: Strays, clock: list[float]) -> None:
    store = ChoosyStore("a")
    assert give_back(lost, store) == ["b", "c"]
    assert store.taken == {"b": b"work of b", "c": b"work of c"}
    (kept,) = lost.kept.values()
    assert kept.copy.read_text() == "work of a"
    store.refuses.clear()
    clock[0] += strays.TRY_AGAIN
    assert give_back(lost, store) == ["a"]
    assert store.taken["a"] == b"work of a"
    assert lost.kept == {}
    assert lost.refused == ()


def test_it_is_tried_later_and_later(lost: Strays, clock: list[float]) -> None:
    store, times = ChoosyStore("a"), []
    for _ in range(300):
        before = len(store.asked)
        give_back(lost, store)
        if "a" in store.asked[before:]:
            times.append(clock[0])
        clock[0] += 1
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[:6] == [2, 4, 8, 16, 32, 60]
    assert set(gaps[6:]) == {60}


def test_its_owner_is_told_when_it_stays_refused(lost: Strays, clock: list[float]) -> None:
    store = ChoosyStore("a")
    give_back(lost, store)
    assert lost.refused == ()  # keys may just have ended
    refuse_for_long(lost, store, clock)
    reason = "The object store refused to take a (InvalidArgument)."
    assert list(lost.refused) == [Refused("cloud_storage/alice/a", reason)]


def test_who_deletes_it_finds_it_among_the_rescued(
    plan: MountPlan, lost: Strays, files: list[CachedFile], clock: list[float]
) -> None:
    store = ChoosyStore("a")
    refuse_for_long(lost, store, clock)
    assert rescued.waiting(plan) == []
    files[0].remove()
    assert give_back(lost, store) == ["a"]
    assert [path.read_text() for path in rescued.waiting(plan)] == ["work of a"]
    assert lost.kept == {}


def test_who_changes_it_again_has_that_change_tried_anew(
    lost: Strays, files: list[CachedFile], clock: list[float]
) -> None:
    store = ChoosyStore("a")
    refuse_for_long(lost, store, clock)
    files[0].data.write_text("better")
    os.utime(files[0].data, (2000, 2000))
    clock[0] += REFUSED_MOST
    assert give_back(lost, store) == []
    assert lost.kept == {}
    assert lost.refused == ()


def test_what_was_returned_is_known_although_the_store_has_gone_since(lost: Strays) -> None:
    """rclone is to forget those files, whatever comes of the others."""
    store = ChoosyStore(silent=("b",))
    assert give_back(lost, store) == ["a"]
    with pytest.raises(StorageError, match="reached"):
        give_back(lost, store)
    assert [stray.file.name for stray in lost.kept.values()] == ["b", "c"]
