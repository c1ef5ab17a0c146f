import pytest

from quaderno.hub.rates import Rates


class Clock:
    """Time as a test says, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_admitted_and_then_one_at_a_time() -> None:
    clock = Clock()
    rates = Rates(6, clock)
    assert [rates.wait("ada") for _ in range(6)] == [0] * 6
    assert rates.wait("ada") == pytest.approx(10)
    clock.now += 4
    assert rates.wait("ada") == pytest.approx(6)
    clock.now += 7
    assert rates.wait("ada") == 0
    assert rates.wait("ada") == pytest.approx(9)


def test_one_does_not_wait_for_another() -> None:
    rates = Rates(1, Clock())
    assert rates.wait("ada") == 0
    assert rates.wait("ada") > 0
    assert rates.wait("bob") == 0


def test_rest_brings_no_more_than_one_burst() -> None:
    clock = Clock()
    rates = Rates(2, clock)
    rates.wait("ada")
    clock.now += 3600
    assert [rates.wait("ada") == 0 for _ in range(3)] == [True, True, False]


def test_who_has_gone_is_forgotten_and_who_must_wait_is_not() -> None:
    clock = Clock()
    rates = Rates(60, clock)
    for number in range(1000):
        rates.wait(number)
    clock.now += 2
    while not rates.wait("ada"):
        pass
    assert len(rates._buckets) == 1
    assert rates.wait("ada") > 0
