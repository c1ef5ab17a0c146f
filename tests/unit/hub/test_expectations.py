"""What people are told of how long a start takes."""

from pathlib import Path

import pytest

from quaderno.hub import expectations
from quaderno.hub.expectations import StartTimes

LAB = "lab:1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "start-times.json"


def test_nothing_is_promised_before_the_first_start(file: Path) -> None:
    times = StartTimes(file)
    assert times.expected(LAB, here=True) == ""
    assert times.expected(LAB, here=False) == (
        "Not on this machine yet: its first start downloads it, which can take minutes."
    )


def test_what_was_slow_for_once_does_not_count(file: Path) -> None:
    times = StartTimes(file)
    for seconds in (4.1, 90, 3.8):
        times.note(LAB, seconds, fetched=False)
    assert times.expected(LAB, here=True) == "Usually ready in about 4 s."


def test_a_start_that_fetched_its_image_counts_for_those_that_will(file: Path) -> None:
    times = StartTimes(file)
    times.note(LAB, 4, fetched=False)
    times.note(LAB, 130, fetched=True)
    assert times.expected(LAB, here=True) == "Usually ready in about 4 s."
    assert times.expected(LAB, here=False).endswith("which has taken about 2 min.")


def test_it_is_known_over_restarts_and_what_is_old_is_forgotten(file: Path) -> None:
    for seconds in [60] * 9 + [5] * 9:
        StartTimes(file).note(LAB, seconds, fetched=False)
    assert StartTimes(file).usual(LAB, fetched=False) == 5
    times = StartTimes(file)
    for number in range(1000):
        times.note(f"other:{number}", 1, fetched=False)
    assert StartTimes(file).usual(LAB, fetched=False) is None
    assert StartTimes(file).usual("other:999", fetched=False) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b'{"lab:1": "soon"}', b"\xff"])
def test_a_file_that_cannot_be_read_is_begun_anew(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    times = StartTimes(file)
    assert times.usual(LAB, fetched=False) is None
    times.note(LAB, 5, fetched=False)
    assert StartTimes(file).usual(LAB, fetched=False) == 5


def test_a_directory_that_cannot_be_written_keeps_nobody_from_starting(tmp_path: Path) -> None:
    StartTimes(tmp_path / "none" / "times.json").note(LAB, 5, fetched=False)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (4.4, "4 s"), (12, "10 s"), (57, "55 s"), (59, "1 min"), (200, "3 min")],
)
def test_times_are_no_more_exact_than_they_are_known(seconds: float, words: str) -> None:
    assert expectations.in_words(seconds) == words
