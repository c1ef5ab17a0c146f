"""What would be lost when a server stops, with trees that people may well have."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quaderno_server import copies, workarea
from quaderno_server.copies import Place
from tests.unit.server.working_area import WITHIN, left, listed, working_area, write


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return working_area(tmp_path)


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
    write(place, "project/pyvenv.cfg")
    write(place, "project/bin/python")
    write(place, "project/mine.ipynb")
    write(place, "project/src/lib/mine.py")
    write(place, "downloads/CACHEDIR.TAG")
    write(place, "repository/.git/HEAD")
    write(place, "work/.hidden")
    found = copies.look(place, WITHIN)
    assert sorted(file["path"] for file in found["files"]) == [
        "project/mine.ipynb",
        "project/src/lib/mine.py",
        "repository/.git/HEAD",
        "work/.hidden",
    ]
    assert found["left_out"] == [
        "conda/conda-meta",
        "downloads",
        "env/lib",
        "project/bin",
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
