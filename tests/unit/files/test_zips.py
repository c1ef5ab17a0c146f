"""Names in a zip file are safe wherever it is unpacked, and its length is what it says."""

import io
import itertools
import zipfile
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.files import zips
from quaderno.files.places import Entry


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("p/a.txt", "a.txt"),
        ("p/d/é ü", "d/é ü"),
        ("p//etc/passwd", "etc/passwd"),
        ("p/../../x", "__/__/x"),
        ("p/./x", "_/x"),
        ("p/C:\\Windows\\x", "C__Windows_x"),
        ("p/a\r\nb", "a__b"),
        ("p/empty/", "empty/"),
    ],
)
def test_names(key: str, name: str) -> None:
    assert zips.names([key, "p/"], "p/") == {key: name}


def test_what_would_be_one_name_becomes_several() -> None:
    keys = ["a", "a/b", "a/b:c", "a/b?c", "a/B_C", "e", "e/", "x/y.tar.gz/z", "x/y.tar.gz"]
    assert zips.names(keys, "") == {
        "a": "a (2)",
        "a/b": "a/b",
        "a/B_C": "a/B_C",
        "a/b:c": "a/b_c (2)",
        "a/b?c": "a/b_c (3)",
        "e/": "e/",
        "e": "e (2)",
        "x/y.tar.gz/z": "x/y.tar.gz/z",
        "x/y.tar.gz": "x/y.tar (2).gz",
    }


def test_thousands_of_one_name_are_numbered_as_they_come() -> None:
    keys = ["".join(signs) for signs in itertools.product('<>:"|?*', repeat=5)]
    tried = 0

    class Counting(set[str]):
        def __contains__(self, name: object) -> bool:
            nonlocal tried
            tried += 1
            return super().__contains__(name)

    taken, numbers = Counting(), dict[str, int]()
    for _ in keys:
        taken.add(zips._free(PurePosixPath("_____"), taken, numbers))
    assert tried < 3 * len(keys)
    assert sorted(taken) == sorted(zips.names(keys, "").values())


@given(st.lists(st.text("ab/.\\: A", min_size=1, max_size=8), max_size=12, unique=True))
def test_all_files_unpack_below_one_folder_and_beside_each_other(keys: list[str]) -> None:
    names = zips.names(keys, "")
    assert set(names) >= {key for key in keys if not key.endswith("/")}
    paths = [PurePosixPath(name) for name in names.values()]
    assert not [path for path in paths if path.is_absolute() or ".." in path.parts]
    files = [name.casefold() for name in names.values() if not name.endswith("/")]
    assert len(files) == len(set(files))
    folders = {str(parent).casefold() for path in paths for parent in path.parents}
    assert not folders & set(files)


def test_a_zip_file_is_as_long_as_it_said_and_holds_what_it_should() -> None:
    content = {"p/": b"", "p/a": b"first", "p/d/": b"", "p/d/b": b"", "p/d/c": bytes(3 << 20)}
    entries = [Entry(key, len(found)) for key, found in content.items()]
    made = zips.archive(entries, "p/", lambda entry: iter([content[entry.key]]))
    chunks = iter(made)
    sent = list(itertools.takewhile(bool, iter(lambda: zips.some(chunks), None)))
    assert len(b"".join(sent)) == len(made)
    with zipfile.ZipFile(io.BytesIO(b"".join(sent))) as unpacked:
        assert unpacked.testzip() is None
        found = {name: unpacked.read(name) for name in unpacked.namelist()}
    assert found == {"d/": b"", "a": b"first", "d/b": b"", "d/c": bytes(3 << 20)}


def test_content_under_the_name_of_a_folder_is_not_lost() -> None:
    made = zips.archive([Entry("d/", 1)], "", lambda _: iter([b"x"]))
    with zipfile.ZipFile(io.BytesIO(b"".join(made))) as unpacked:
        assert unpacked.read("d/(no name)") == b"x"


def test_nothing_is_read_before_its_turn() -> None:
    read: list[str] = []

    def reader(entry: Entry) -> list[bytes]:
        read.append(entry.key)
        return [b"x"]

    def late(entry: Entry) -> itertools.chain[bytes]:
        return itertools.chain.from_iterable(reader(entry) for _ in range(1))

    chunks = iter(zips.archive([Entry("a", 1), Entry("b", 1)], "", late))
    next(chunks)
    assert "b" not in read


def test_sizes_beyond_four_gibibytes_are_told() -> None:
    size = 5 << 30
    made = zips.archive([Entry("a", size)], "", lambda _: iter([b"x"]))
    header = next(iter(made))
    assert int.from_bytes(header[4:6], "little") == zipfile.ZIP64_VERSION
    assert len(made) > size
