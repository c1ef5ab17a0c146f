"""How rclone's cache is read: what is changed, what is there, what is missing."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno import config as configuration
from quaderno.storage import cache, mounts, repair, strays
from quaderno.storage.cache import CachedFile, Unsent
from quaderno.storage.mounts import MountPlan


@pytest.fixture
def plan(tmp_path: Path) -> MountPlan:
    plan = mounts.plan(configuration.generate(tmp_path), "alice")
    plan.state.mkdir(parents=True)
    return plan


def put(plan: MountPlan, name: str, data: str | None, meta: str | None) -> CachedFile:
    area = plan.writable[0]
    file = CachedFile(
        area, name, cache.data_root(plan, area) / name, cache.description_root(plan, area) / name
    )
    for path, text in ((file.data, data), (file.meta, meta)):
        if text is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return file


def description(*, dirty: bool, size: int, parts: list[tuple[int, int]]) -> str:
    ranges = [{"Pos": start, "Size": end - start} for start, end in parts] or None
    return json.dumps({"Dirty": dirty, "Size": size, "Rs": ranges, "Fingerprint": "4,abc"})


def test_a_name_that_is_no_text_is_in_the_store_as_rclone_writes_it(plan: MountPlan) -> None:
    """Found on the disk as any program may have made it, such as one that unpacks an archive."""
    put(plan, os.fsdecode(b"r\xe9sum\xe9/\xff\xc3\xa9"), "work", WHOLE)
    (file,) = cache.Changed(plan).files()
    assert file.key == "r\u201bE9sum\u201bE9/\u201bFFé"
    assert file.data.read_text() == "work"


WHOLE = description(dirty=True, size=4, parts=[(0, 4)])
CLEAN = description(dirty=False, size=4, parts=[(0, 4)])


@pytest.mark.parametrize(
    ("meta", "changed"),
    [
        (WHOLE, True),
        (CLEAN, False),
        (WHOLE[:20], True),
        ("", True),
        ("[]", True),
        ("{}", True),
        ('{"Dirty": 1, "Size": 4, "Rs": null}', True),
    ],
)
def test_files_are_changed_when_in_doubt(plan: MountPlan, meta: str, changed: bool) -> None:
    found = cache.Changed(plan)
    assert found.files() == []
    file = put(plan, "deep/file", "work", meta)
    assert found.files() == ([file] if changed else [])
    assert found.files() == ([file] if changed else [])


def test_what_was_read_is_read_again_when_it_changes(plan: MountPlan) -> None:
    found, file = cache.Changed(plan), put(plan, "file", "work", WHOLE)
    assert found.files() == [file]
    file.meta.write_text(CLEAN)
    assert found.files() == []


def test_files_whose_descriptions_are_out_of_reach_may_be_changed(plan: MountPlan) -> None:
    home, own = plan.writable
    found, file = cache.Changed(plan), put(plan, "file", "work", None)
    assert found.files() == []
    cache.area_descriptions(plan, own).parent.mkdir()
    cache.area_descriptions(plan, own).symlink_to(plan.state / "not-mounted")
    assert found.files() == []
    cache.area_descriptions(plan, home).symlink_to(plan.state / "not-mounted")
    assert found.files() == [file]


def test_unsent_counts_bytes_and_the_oldest(plan: MountPlan) -> None:
    one, two = put(plan, "one", "1234", WHOLE), put(plan, "two", "12", WHOLE)
    os.utime(two.data, (1000, 1000))
    gone = put(plan, "gone", None, WHOLE)
    assert Unsent.of([one.data, two.data, gone.data]) == Unsent(2, 6, 1000)
    assert Unsent.of([]) == Unsent(0, 0, None)


def test_names_keys_and_paths(plan: MountPlan) -> None:
    home, own = plan.writable
    here = Path("/x")
    assert CachedFile(home, "a/b", here, here).key == "a/b"
    assert CachedFile(home, "a/b", here, here).path == "alice/a/b"
    assert CachedFile(own, "a/b", here, here).key == "alice/a/b"
    assert CachedFile(own, "a/b", here, here).path == "scratch/alice/a/b"


@pytest.mark.parametrize(
    ("data", "meta", "damaged", "left"),
    [
        ("work", WHOLE, True, True),
        ("work", CLEAN, False, True),
        ("work", None, True, True),
        ("work", "{", True, True),
        ("work", description(dirty=True, size=4, parts=[(0, 2)]), True, True),
        ("work", description(dirty=True, size=2, parts=[(0, 2)]), True, True),
        ("", None, False, False),
        ("", "{", True, True),
        (None, WHOLE, False, False),
    ],
)
def test_survey(
    plan: MountPlan, data: str | None, meta: str | None, damaged: bool, left: bool
) -> None:
    file = put(plan, "file", data, meta)
    assert [damage.file for damage in repair.survey(plan)] == ([file] if damaged else [])
    assert (file.data.exists() or file.meta.exists()) is left


def test_described_as_changed_keeps_what_was_known(plan: MountPlan) -> None:
    file = put(plan, "file", "longer work", CLEAN)
    file.describe_as_changed()
    described = file.describe()
    assert described is not None
    assert (described.dirty, described.size, described.parts) == (True, 11, ((0, 11),))
    assert described.fields["Fingerprint"] == "4,abc"


def test_directories_that_are_used(plan: MountPlan) -> None:
    for number, name in enumerate(("old/file", "a/b/c/file", "a/other", "top")):
        os.utime(put(plan, name, "work", CLEAN).meta, (number, number))
    area = plan.writable[0]
    assert cache.used_directories(plan, area, 10) == {"old", "a", "a/b", "a/b/c"}
    assert cache.used_directories(plan, area, 3) == {"a", "a/b", "a/b/c"}
    assert cache.used_directories(plan, plan.writable[1], 10) == set()


def test_a_sparse_file_is_copied_as_it_is(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "deep" / "target"
    with source.open("wb") as file:
        file.truncate(10 << 20)
        os.pwrite(file.fileno(), b"x" * 4096, 5 << 20)
    os.utime(source, (1000, 1000))
    cache.copy_sparse(source, target, tmp_path / "unfinished")
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mtime == 1000
    assert target.stat().st_blocks == source.stat().st_blocks


PARTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted).map(tuple))


@given(whole=st.tuples(st.integers(0, 50), st.integers(0, 50)).map(sorted), parts=PARTS)
def test_subtract(whole: list[int], parts: list[tuple[int, int]]) -> None:
    start, end = whole
    left = {n for a, b in cache.subtract((start, end), parts) for n in range(a, b)}
    assert left == {n for n in range(start, end) if not any(a <= n < b for a, b in parts)}


def test_a_copy_that_the_cache_does_not_have_is_rescued(plan: MountPlan) -> None:
    file = put(plan, "kept", "work", WHOLE)
    for name in ("kept", "gone"):
        copy = plan.strays / "alice" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("work")
        status = file.data.stat()
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    strays.rescue_left(plan)
    assert [path.name for path in plan.rescued.rglob("*") if path.is_file()] == ["gone"]
    assert not [path for path in plan.strays.rglob("*") if path.is_file()]


def test_only_a_file_that_is_still_changed_is_a_stray(
    plan: MountPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of changed files is some seconds old, and they may have been uploaded since."""
    monkeypatch.setattr(strays, "STRAY_AFTER", 0)
    changed = description(dirty=True, size=4, parts=[(0, 4)])
    stray = put(plan, "stray", "text", changed)
    uploaded = put(plan, "uploaded", "text", changed)
    gone = put(plan, "gone", "text", changed)
    put(plan, "uploaded", "text", description(dirty=False, size=4, parts=[(0, 4)]))
    gone.data.unlink()
    kept = strays.Strays(plan)
    kept.look([stray, uploaded, gone], queued=set())
    assert kept.kept.keys() == {stray.data}


def test_strays_are_returned_as_long_as_the_lease_is_there(
    plan: MountPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strays, "STRAY_AFTER", 0)
    changed = description(dirty=True, size=4, parts=[(0, 4)])
    files = [put(plan, name, "text", changed) for name in ("one", "two")]
    kept = strays.Strays(plan)
    kept.look(files, queued=set())
    returned: list[object] = []
    monkeypatch.setattr(kept, "_return", lambda stray, _: returned.append(stray.file))
    may_send = iter([True, False])
    assert kept.return_all(None, lambda: next(may_send)) == files[:1]  # type: ignore[arg-type]
    assert returned == files[:1]
    assert kept.kept.keys() == {files[1].data}
