"""What would be lost when a server stops, and its copies, with trees that people may well have."""

import errno
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quaderno_server import copies, saving, workarea
from quaderno_server.copies import Place

WITHIN = 60.0  # seconds


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A working area with storage, and nothing of people's own in it."""
    root = tmp_path / "workarea"
    for directory in ("cloud_storage/ada", "cloud_storage/scratch/ada", "local"):
        (root / directory).mkdir(parents=True)
    return Place(root, "ada", tmp_path / "home" / "saved.json", 0, frozenset())


def write(place: Place, path: str, content: str = "content", age: float = 0) -> Path:
    """A file below the root, last changed `age` seconds ago."""
    file = place.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    os.utime(file, (time.time() - age,) * 2)
    return file


def listed(place: Place) -> list[str]:
    return [file["path"] for file in copies.look(place, WITHIN)["files"]]


def save(place: Place, most: int | None = None) -> dict[str, Any]:
    return saving.save(place, most, WITHIN)


def left(report: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["reason"] for file in report["left"]["files"]}


def snapshot(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


# --- what is found


def test_nothing_is_found_where_nothing_is(place: Place) -> None:
    write(place, "cloud_storage/ada/safe.txt")
    write(place, "local/safe.txt")
    found = copies.look(place, WITHIN)
    assert (found["count"], found["bytes"], found["files"]) == (0, 0, [])
    assert (found["complete"], found["storage"]) == (True, "ok")


def test_the_newest_files_are_named_and_all_are_counted(place: Place) -> None:
    for number in range(60):
        write(place, f"runs/{number:02}.csv", "x" * number, age=number)
    found = copies.look(place, WITHIN)
    assert (found["count"], found["bytes"]) == (60, sum(range(60)))
    assert [file["path"] for file in found["files"]] == [f"runs/{n:02}.csv" for n in range(50)]


def test_what_is_the_same_elsewhere_is_not_found(place: Place) -> None:
    for there in ("local", "cloud_storage/ada", "cloud_storage/ada/saved/2026-01-01T0900"):
        name = there.replace("/", "-")
        write(place, f"deep/{name}.txt", "same")
        write(place, f"{there}/deep/{name}.txt", "same")
        write(place, f"deep/{name}-other.txt", "here")
        write(place, f"{there}/deep/{name}-other.txt", "else")
    write(place, "cloud_storage/ada/deep/elsewhere.txt", "same")
    assert sorted(listed(place)) == [
        "deep/cloud_storage-ada-other.txt",
        "deep/cloud_storage-ada-saved-2026-01-01T0900-other.txt",
        "deep/local-other.txt",
    ]


def test_the_images_own_files_are_not_peoples(place: Place) -> None:
    """Those whose inode is older than the container; a time stamp of the past is no disguise."""
    write(place, "examples/s3.py")
    made = (place.root / "examples/s3.py").stat().st_ctime_ns
    while time.time_ns() <= made + 20_000_000:  # the kernel's clock for files is a coarse one
        os.sched_yield()
    since = time.time_ns()
    while time.time_ns() <= since + 20_000_000:
        os.sched_yield()
    write(place, "old.txt", age=10**9)
    finding = workarea.find(place.root, since, frozenset(), WITHIN)
    assert [file.path for file in finding.files] == ["old.txt"]


def test_when_the_container_was_made(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    start = 500 * os.sysconf("SC_CLK_TCK")
    (tmp_path / "1/stat").write_text(f"1 (a (b) c) S {'0 ' * 18}{start} 0 0\n")
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1000\nprocesses 5\n")
    (tmp_path / "hostname").write_text("x")
    written = (tmp_path / "hostname").stat().st_ctime_ns
    assert workarea.container_made(tmp_path / "hostname", tmp_path) == 1500 * 10**9
    (tmp_path / "stat").write_text("btime 99999999999\n")
    assert workarea.container_made(tmp_path / "hostname", tmp_path) == written
    assert workarea.container_made(tmp_path / "none", tmp_path) == 0


def test_mounts_are_not_entered_and_links_not_followed(place: Place, tmp_path: Path) -> None:
    write(place, "mounted here/file.txt")
    (place.root / "out").symlink_to("/etc")
    (place.root / "round").symlink_to(place.root)
    (place.root / "dangling").symlink_to("nowhere")
    (place.root / "etc.conf").symlink_to("/etc/hostname")
    mountinfo = tmp_path / "mountinfo"
    escaped = str(place.root / "mounted here").replace(" ", "\\040")
    mountinfo.write_text(f"36 35 98:0 / {escaped} rw,noatime shared:1 - ext3 /dev/root rw\n")
    mounts = workarea.mount_points(mountinfo)
    finding = workarea.find(place.root, 0, mounts, WITHIN)
    assert (finding.files, finding.left_out, finding.unseen) == ([], [], [])


def test_caches_and_environments_are_left_out_and_named(place: Place) -> None:
    write(place, "work/.ipynb_checkpoints/a.ipynb")
    write(place, "work/__pycache__/a.pyc")
    write(place, "work/node_modules/left-pad/index.js")
    write(place, "env/pyvenv.cfg")
    write(place, "env/lib/python3/site.py")
    write(place, "conda/conda-meta/history")
    write(place, "downloads/CACHEDIR.TAG")
    write(place, "repository/.git/HEAD")
    write(place, "work/.hidden")
    found = copies.look(place, WITHIN)
    assert sorted(file["path"] for file in found["files"]) == [
        "repository/.git/HEAD",
        "work/.hidden",
    ]
    assert found["left_out"] == [
        "conda",
        "downloads",
        "env",
        "work/.ipynb_checkpoints",
        "work/__pycache__",
        "work/node_modules",
    ]


def test_a_tree_of_100_000_files_is_looked_at_in_bounds(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for directory in range(10):
        (place.root / f"d{directory}").mkdir()
        for number in range(10_000):
            os.close(os.open(place.root / f"d{directory}" / f"{number}", os.O_CREAT | os.O_WRONLY))
    found = copies.look(place, 600)
    assert (found["count"], found["complete"], len(found["files"])) == (100_000, True, 50)
    monkeypatch.setattr(workarea, "MOST_ENTRIES", 30_000)
    bounded = copies.look(place, 600)
    assert not bounded["complete"]
    assert 0 < bounded["count"] < 100_000


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
    report = saving.save(place, None, 1.0)
    assert (report["copied"]["count"], left(report), report["failed"]) == (0, {"a.txt": "time"}, 1)
    never.set()


# --- the program


def program(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`quaderno-workarea`, on this machine: `/workarea` is what the container has."""
    code = (
        "import sys; from pathlib import Path; from quaderno_server import workarea as w\n"
        f"w.ROOT = Path({str(place.root)!r}); w.container_made = lambda: 0\n"
        "from quaderno_server import workarea_command as c; sys.exit(c.main())"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={"JUPYTERHUB_USER": "ada", "HOME": str(place.memory.parent), "PYTHONPATH": "server"},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_the_program_lists_and_saves(place: Place) -> None:
    write(place, "a.txt", "alpha")
    write(place, "big.bin", "x" * 100)
    listing = program(place, "list")
    assert listing.stdout.splitlines()[-1] == "2 files (105 bytes) exist only in this server"
    assert json.loads(program(place, "list", "--json").stdout)["count"] == 2
    report = json.loads(program(place, "save", "--json", "--most", "50").stdout)
    assert (report["copied"]["count"], left(report)) == (1, {"big.bin": "limit"})
    said = program(place, "save").stdout
    assert "1 file (100 bytes) copied to cloud_storage/ada/saved/" in said


def test_the_program_says_where_it_belongs() -> None:
    command = [sys.executable, "-m", "quaderno_server.workarea_command", "list"]
    outside = subprocess.run(
        command, env={"PYTHONPATH": "server"}, capture_output=True, text=True, check=False
    )
    assert outside.returncode == 1
    assert outside.stderr == (
        "quaderno-workarea: JUPYTERHUB_USER is not set; run this in a server\n"
    )
