"""When people may write, and when the ballast is given up."""

import pytest

from quaderno.storage.cache_disk import CacheDisk

M, G = 2**20, 2**30


def disk(free: int, held: int = G, total: int = 100 * G, reserve: int = 2 * G) -> CacheDisk:
    return CacheDisk(total, free, held, reserve)


@pytest.mark.parametrize(
    ("total", "reserve", "needed", "ballast"),
    [
        (100 * G, 2 * G, 2 * G, G),
        (100 * G, 50 * G, 15 * G, G),
        (10 * G, 2 * G, int(1.5 * G), 768 * M),
        (100 * G, 0, 0, 0),
    ],
)
def test_what_is_kept(total: int, reserve: int, needed: int, ballast: int) -> None:
    found = disk(0, 0, total, reserve)
    assert (found.needed, found.ballast, found.missing) == (needed, ballast, ballast)


@pytest.mark.parametrize(
    ("free", "held", "was_short", "is_short"),
    [
        (3 * G, G, False, False),
        (2 * G, G, False, False),
        (2 * G - 1, G, False, True),
        (int(2.3 * G), G, False, False),
        (int(2.3 * G), G, True, True),
        (int(2.5 * G), G, True, False),
        (int(2.5 * G), 0, True, True),
        (int(2.5 * G), 0, False, True),
        (int(3.5 * G), 0, True, False),
    ],
)
def test_a_missing_ballast_counts_as_taken(
    free: int, held: int, was_short: bool, is_short: bool
) -> None:
    assert disk(free, held).is_short(was_short=was_short) is is_short


@pytest.mark.parametrize(
    ("free", "is_full"), [(0, True), (100 * M, True), (128 * M, False), (2 * G, False)]
)
def test_full(free: int, is_full: bool) -> None:
    assert disk(free).is_full is is_full


@pytest.mark.parametrize("total", [M, G, 10 * G, 100 * G])
@pytest.mark.parametrize("reserve", [M, G, 20 * G])
def test_nobody_may_write_because_the_ballast_was_given_up(total: int, reserve: int) -> None:
    full = disk(0, 0, total, reserve)
    given_up = disk(full.ballast, 0, total, reserve)
    assert given_up.is_short(was_short=True)
    assert given_up.is_short(was_short=False)
