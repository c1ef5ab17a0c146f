"""Copies of what would be lost when a server stops, onto storage that takes them or fails."""

import errno
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quaderno_server import copies, saving, workarea
from quaderno_server.copies import Place
from tests.unit.server.working_area import WITHIN, left, listed, save, snapshot, working_area, write


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return working_area(tmp_path)


# --- what is copied


def test_copies_are_whole_keep_their_time_and_need_no_second_one(place: Place) -> None:
    write(place, "a.txt", "alpha", age=1000)
    write(place, "deep/er/b.bin", "beta" * 10**6, age=2000)
    write(place, "empty", "")
    report = save(place)
    saved = place.root / report["directory"]
    assert saved.parent == place.saved
    assert report["copied"] == {"count": 3, "bytes": 5 + 4 * 10**6}
    assert (report["left"]["count"], report["failed"], report["storage"]) == (0, 0, "ok")
    for path in ("a.txt", "deep/er/b.bin", "empty"):
        original, copy = place.root / path, saved / path
        assert copy.read_bytes() == original.read_bytes()
        assert copy.stat().st_mtime == pytest.approx(original.stat().st_mtime, abs=0.001)
    assert listed(place) == []
    again = save(place)
    assert (again["directory"], again["copied"]["count"]) == (None, 0)
    place.memory.unlink()
    assert listed(place) == [], "a server that remembers nothing compares the bytes"


def test_nothing_is_ever_overwritten(place: Place) -> None:
    write(place, "a.txt", "first")
    first = save(place)["directory"]
    before = snapshot(place.bucket)
    write(place, "a.txt", "other")
    second = save(place)["directory"]
    assert first != second
    after = snapshot(place.bucket)
    assert before.items() <= after.items()
    assert (place.root / second / "a.txt").read_text() == "other"


def test_a_copy_that_was_deleted_is_made_again(place: Place) -> None:
    write(place, "a.txt")
    directory = save(place)["directory"]
    (place.root / directory / "a.txt").unlink()
    assert listed(place) == ["a.txt"]


def test_up_to_a_size_the_small_ones_first(place: Place) -> None:
    write(place, "large.bin", "x" * 2000)
    write(place, "middle.bin", "x" * 500)
    write(place, "small.txt", "x" * 100)
    report = save(place, most=700)
    assert report["copied"] == {"count": 2, "bytes": 600}
    assert left(report) == {"large.bin": "limit"}
    assert report["left"]["bytes"] == 2000
    assert report["failed"] == 0
    nothing = save(place, most=0)
    assert (nothing["directory"], left(nothing)) == (None, {"large.bin": "limit"})


@pytest.mark.parametrize(
    "name",
    [
        "two words.txt",
        "new\nline",
        "'quotes' \"and\" $(reboot)",
        "-rf",
        "ünïcödé ✓",
        "x" * 255,
        os.fsdecode(b"not-\xff-utf-8"),
    ],
)
def test_odd_names(place: Place, name: str) -> None:
    write(place, f"d/{name}", "odd")
    assert listed(place) == [workarea.printable(f"d/{name}")]
    report = json.loads(json.dumps(save(place)))
    assert (place.root / report["directory"] / "d" / name).read_text() == "odd"
    assert listed(place) == []


def test_a_path_that_no_file_system_call_takes_is_counted(place: Place) -> None:
    write(place, "a.txt")
    depth, descriptor = 0, os.open(place.root, os.O_RDONLY)
    while depth * 101 < 5000:
        os.mkdir("d" * 100, dir_fd=descriptor)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor, depth = inner, depth + 1
    os.close(os.open("lost.txt", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    report = save(place)
    assert report["copied"]["count"] == 1
    assert report["unseen"] == 1
    subprocess.run(["rm", "-rf", place.root / ("d" * 100)], check=True)


def test_pipes_sockets_and_devices_are_no_files(place: Place, tmp_path: Path) -> None:
    os.mkfifo(place.root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(place.root)  # a socket's whole path may not be long
        listening.bind("socket")
        os.chdir(here)
        assert listed(place) == []
        assert save(place)["copied"]["count"] == 0


def test_a_pipe_that_takes_a_files_place_stops_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(place, "a.txt")
    write(place, "b.txt")
    found = copies.only_here

    def replaced(*arguments: Any) -> Any:
        files = found(*arguments)
        file.unlink()
        os.mkfifo(file)
        return files

    monkeypatch.setattr(saving, "only_here", replaced)
    report = save(place)
    assert report["copied"]["count"] == 1
    assert left(report) == {"a.txt": "unreadable"}


def test_a_file_that_keeps_changing_is_copied_and_counted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(place, "run.log", "line\n")
    reading = saving._read

    def written_meanwhile(read: Callable[[int], bytes]) -> bytes:
        chunk = reading(read)
        if not chunk:
            with log.open("a") as file:
                file.write("line\n")
        return chunk

    monkeypatch.setattr(saving, "_read", written_meanwhile)
    report = save(place)
    assert (report["copied"]["count"], report["changing"]) == (1, 1)
    assert set((place.root / report["directory"] / "run.log").read_text().split()) == {"line"}


# --- storage that fails


@pytest.mark.parametrize(
    ("number", "state"),
    [(errno.EROFS, "read-only"), (errno.ENOSPC, "full"), (errno.ENOTCONN, "away")],
)
def test_storage_that_fails_midway_is_asked_no_more(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int, state: str
) -> None:
    for name in ("1", "22", "333", "4444"):
        write(place, name, name)
    copied = saving._copy

    def failing(source: Path, target: Path) -> bool:
        if source.name == "22":
            raise OSError(number, os.strerror(number))
        assert source.name == "1", "nothing else is tried"
        return copied(source, target)

    monkeypatch.setattr(saving, "_copy", failing)
    report = save(place)
    assert report["storage"] == state
    assert report["copied"]["count"] == 1
    assert (report["failed"], set(left(report).values())) == (3, {"storage"})
    monkeypatch.undo()
    assert save(place)["copied"]["count"] == 3, "the next one copies what is left"


def test_storage_that_is_not_there_gets_nothing(place: Place) -> None:
    write(place, "a.txt")
    place.bucket.rmdir()
    assert copies.look(place, WITHIN)["storage"] == "away"
    report = save(place)
    assert (report["directory"], report["storage"]) == (None, "away")
    assert (left(report), report["failed"]) == ({"a.txt": "storage"}, 1)
    assert not place.bucket.exists(), "nothing is written below a mount that is missing"


def test_a_name_that_the_storage_refuses_is_that_files_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, "a.txt")
    write(place, "colon:.txt")
    copied = saving._copy

    def picky(source: Path, target: Path) -> bool:
        if ":" in source.name:
            raise OSError(errno.EINVAL, "Invalid argument")
        return copied(source, target)

    monkeypatch.setattr(saving, "_copy", picky)
    write(place, "first")  # the smallest, so that the directory is there
    report = save(place)
    assert (report["copied"]["count"], left(report)) == (2, {"colon:.txt": "name"})
    assert report["failed"] == 0


def test_a_copy_that_reads_differently_is_none(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, "a.txt")
    monkeypatch.setattr(saving, "_digest", lambda _: b"else")
    report = save(place)
    assert (report["copied"]["count"], left(report)) == (0, {"a.txt": "storage"})
    assert snapshot(place.bucket) == {}, "and nothing of it stays"


def test_storage_that_hangs_does_not_hold_up_the_report(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(place, "a.txt")
    never = threading.Event()
    monkeypatch.setattr(saving, "_copy", lambda *_: never.wait())
    monkeypatch.setattr(copies, "_names", lambda _: frozenset() if never.wait() else None)
    report = saving.save(place, None, 4.0)
    assert (report["copied"]["count"], left(report), report["failed"]) == (0, {"a.txt": "time"}, 1)
    never.set()
