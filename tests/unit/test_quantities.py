"""Amounts of memory, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.quantities import format_memory, parse_memory, say_amount, say_time


@pytest.mark.parametrize(
    ("text", "amount"),
    [("512M", 512 * 2**20), ("2G", 2**31), ("1.5G", 3 * 2**29), ("1T", 2**40), ("10", 10),
     (" 4K ", 4096), (7, 7)],
)  # fmt: skip
def test_read(text: str | int, amount: int) -> None:
    assert parse_memory(text) == amount


@pytest.mark.parametrize(
    "text", ["", "G", "2 G", "2GB", "2g", "-1G", "1e9", "٣G", "1" * 16, "nan", True, None, 1.5]
)
def test_refused(text: object) -> None:
    with pytest.raises(ValueError, match="not an amount of memory such as 512M or 2G"):
        parse_memory(text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "text"), [(1536 * 2**20, "1536M"), (2**30, "1G"), (2**40, "1T"), (1000, "1000")]
)
def test_written(amount: int, text: str) -> None:
    assert format_memory(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1 KB"),
        (3 * 2**29, "1.5 GB"),
        (200 * 2**30, "200 GB"),
        (2**31 - 1, "2 GB"),
        (2**42, "4 TB"),
    ],
)
def test_said(amount: int, text: str) -> None:
    assert say_amount(amount) == text


@given(st.integers(min_value=0, max_value=10**15 - 1))
def test_round_trip(amount: int) -> None:
    assert parse_memory(format_memory(amount)) == amount


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (60, "1 minute"),
        (61, "61 seconds"),
        (3540, "59 minutes"),
        (3600, "1 hour"),
        (21600, "6 hours"),
    ],
)
def test_a_time_is_said_exactly(seconds: int, text: str) -> None:
    assert say_time(seconds) == text
