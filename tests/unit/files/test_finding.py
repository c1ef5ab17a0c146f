"""The order of a folder, and what a search finds."""

from datetime import UTC, datetime

import pytest

from quaderno.files import finding
from quaderno.files.places import Entry


def file(key: str, size: int = 1, day: int = 1) -> Entry:
    return Entry(key, size, datetime(2026, 1, day, tzinfo=UTC))


FOLDER = [Entry("d/Z/"), Entry("d/a/"), file("d/B", 9, 1), file("d/a b", 1, 3), file("d/é", 4, 2)]


@pytest.mark.parametrize(
    ("sort", "keys"),
    [
        ("name", ["d/a/", "d/Z/", "d/a b", "d/B", "d/é"]),
        ("-name", ["d/Z/", "d/a/", "d/é", "d/B", "d/a b"]),
        ("size", ["d/a/", "d/Z/", "d/a b", "d/é", "d/B"]),
        ("-size", ["d/a/", "d/Z/", "d/B", "d/é", "d/a b"]),
        ("changed", ["d/a/", "d/Z/", "d/B", "d/é", "d/a b"]),
        ("-changed", ["d/a/", "d/Z/", "d/a b", "d/é", "d/B"]),
    ],
)
def test_folders_come_first_whatever_the_order(sort: str, keys: list[str]) -> None:
    assert [entry.key for entry in finding.arranged(FOLDER, sort)] == keys


def test_the_heads_of_columns_turn_the_order_round() -> None:
    assert finding.next_sort("name", "") == "-name"
    assert finding.next_sort("size", "") == "size"
    assert finding.next_sort("size", "size") == "-size"
    assert finding.next_sort("size", "-size") == "size"
    assert [finding.usable_sort(text) for text in ("-size", "--size", "x", "")] == [
        *("-size", ""),
        *("", ""),
    ]


KEYS = ["p/run", "p/run 1/", "p/run 1/a.txt", "p/run 1/old/a.txt", "p/run 1/old/b", "p/Stra\u00dfe"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("a.TXT", ["p/run 1/a.txt", "p/run 1/old/a.txt"]),
        ("run", ["p/run", "p/run 1/"]),
        ("1 run", ["p/run 1/"]),
        ("old", ["p/run 1/old/"]),
        ("STRASSE", ["p/Stra\u00dfe"]),
        ("p", []),
    ],
)
def test_files_and_folders_are_found_by_the_words_of_their_names(
    wanted: str, found: list[str]
) -> None:
    finder = finding.Finder("p/", wanted)
    assert [hit for key in KEYS for hit in finder.found(key)] == found


@pytest.mark.parametrize("cut", range(len(KEYS)))
def test_a_search_that_goes_on_tells_nothing_twice(cut: int) -> None:
    first, second = finding.Finder("p/", "r"), finding.Finder("p/", "r", KEYS[cut])
    hits = [hit for key in KEYS[: cut + 1] for hit in first.found(key)]
    hits += [hit for key in KEYS[cut + 1 :] for hit in second.found(key)]
    assert hits == ["p/run", "p/run 1/", "p/Stra\u00dfe"]
