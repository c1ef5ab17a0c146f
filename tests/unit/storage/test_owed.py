"""What waits for buckets that are closed."""

from pathlib import Path

from quaderno.storage.conflicts import Version
from quaderno.storage.owed import Owed

FIRST = Version(1, 5, b"\x00\xff", "order", stored=2)
SECOND = Version(3, 6, b"")


def test_it_outlives_the_process(tmp_path: Path) -> None:
    owed = Owed(tmp_path / "owed.sqlite")
    owed.note({"/buckets/ada/file": [FIRST], "/buckets/ada/other": []})
    owed.note({"/buckets/ada/file": [FIRST, SECOND]})
    owed.settle("/buckets/ada/other")
    owed.settle("/buckets/ada/unknown")

    again = Owed(tmp_path / "owed.sqlite")
    assert len(again) == 1
    known = again.known("/buckets/ada/file")
    assert list(known) == [FIRST, SECOND]
    assert known[0].stored == FIRST.stored
    assert not again.known("/buckets/ada/other")


def test_directories_come_before_their_files_and_closed_buckets_wait(tmp_path: Path) -> None:
    owed = Owed(tmp_path / "owed.sqlite")
    paths = [f"/buckets/{each}" for each in ("ada/d/file", "ada/d", "ada.data/x", "bob/y")]
    owed.note(dict.fromkeys(paths, ()))
    assert owed.outside(["bob"]) == ["/buckets/ada.data/x", "/buckets/ada/d", "/buckets/ada/d/file"]
    assert owed.outside(["ada"]) == ["/buckets/ada.data/x", "/buckets/bob/y"]
    assert len(owed.outside([])) == len(owed) == 4
