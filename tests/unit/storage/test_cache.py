"""How rclone's cache is read, and what is saved from it before rclone starts."""

from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno.storage import cache, mounts
from quaderno.storage.mounts import MountPlan


@pytest.fixture
def plan(tmp_path: Path) -> MountPlan:
    plan = mounts.plan(configuration.generate(tmp_path), "alice")
    plan.state.mkdir(parents=True)
    return plan


def put(plan: MountPlan, name: str, data: str | None, meta: str | None) -> None:
    for tree, text in (("vfs", data), ("vfsMeta", meta)):
        if text is not None:
            path = plan.cache / tree / "home" / "alice" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


@pytest.mark.parametrize(
    ("meta", "unsent"),
    [
        ('{"Dirty": true}', 1),
        ('{"Dirty": false}', 0),
        ('{"Dirty": tr', 1),
        ("", 1),
        ("[]", 1),
        ("{}", 1),
    ],
)
def test_unsent_files_are_counted_when_in_doubt(plan: MountPlan, meta: str, unsent: int) -> None:
    assert cache.unsent(plan) == 0
    path = plan.cache / "vfsMeta" / "home" / "alice" / "deep" / "file"
    path.parent.mkdir(parents=True)
    path.write_text(meta)
    assert cache.unsent(plan) == unsent


@pytest.mark.parametrize(
    "meta", [None, "", "{", "[]", "{}", '{"Dirty": tr', "\0\0", '{"Dirty": 1}']
)
def test_what_rclone_would_delete_is_moved(plan: MountPlan, meta: str | None) -> None:
    put(plan, "deep/notes.txt", "work", meta)
    (moved,) = cache.set_aside(plan)
    assert moved.read_text() == "work"
    assert moved.match("set-aside/*/vfs/home/alice/deep/notes.txt")
    assert cache.count_set_aside(plan) == 1
    assert cache.unsent(plan) == 0
    assert cache.set_aside(plan) == []


def test_what_rclone_understands_stays(plan: MountPlan) -> None:
    put(plan, "dirty", "work", '{"Dirty": true}')
    put(plan, "clean", "work", '{"Dirty": false}')
    put(plan, "opened", "", None)
    assert cache.set_aside(plan) == []
    assert cache.count_set_aside(plan) == 0
    assert cache.unsent(plan) == 1


def test_an_empty_file_with_a_broken_description_is_work_too(plan: MountPlan) -> None:
    put(plan, "__init__.py", "", "")
    assert [path.name for path in cache.set_aside(plan)] == ["__init__.py"]


def test_files_of_the_same_name_are_kept_both(plan: MountPlan) -> None:
    for text in ("first", "second"):
        put(plan, "a", text, "")
        cache.set_aside(plan)
    assert cache.count_set_aside(plan) == 2
    assert {path.read_text() for path in plan.set_aside.glob("*/vfs/home/alice/a")} == {
        "first",
        "second",
    }
