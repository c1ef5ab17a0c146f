"""When a bucket counts as full, and for how long it may be cleaned up."""

import math
from pathlib import Path

import httpx
import pytest

from quaderno import config as configuration
from quaderno.storage import mounts, quota
from quaderno.storage.cache import CachedFile
from quaderno.storage.health import Quota
from quaderno.storage.keys import HubKeys
from quaderno.storage.mounts import Area
from quaderno.storage.quota import Guard
from quaderno.storage.uploads import Upload
from quaderno.storage.usage import Usage

CONFIG = configuration.generate(Path("/q"))
PLAN = mounts.plan(CONFIG, "alice")
HOME, OWN = PLAN.writable


class Meter:
    """Measures what a test says."""

    def __init__(self, *_: object) -> None:
        self.last: Usage | None = None
        self.limit = 100
        self.asked: list[tuple[bool, bool]] = []

    def measure(self, *, often: bool, urgent: bool) -> None:
        self.asked.append((often, urgent))


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Meter:
    meter = Meter()
    monkeypatch.setattr(quota, "Meter", lambda *_: meter)
    return meter


@pytest.fixture
def guard(meter: Meter) -> Guard:
    assert meter.last is None
    return Guard(CONFIG, HubKeys(CONFIG, httpx.AsyncClient()), PLAN)


def upload(number: int, size: int, area: Area = HOME) -> Upload:
    file = CachedFile(area, f"{number}", Path("/d"), Path("/m"))
    return Upload(file, number, size, failed=0, running=False, due=0)


def measured(meter: Meter, used: int, since: float = -math.inf) -> None:
    meter.last = Usage(used, 0, since)


def test_nothing_is_refused_before_anything_is_known(guard: Guard, meter: Meter) -> None:
    guard.look([upload(1, 1000)], 0, refused=False)
    assert (guard.full, guard.reason, guard.figures) == (False, "", None)
    assert len(meter.asked) == 1


def test_what_waits_counts_and_scratch_does_not(guard: Guard, meter: Meter) -> None:
    measured(meter, 60)
    guard.look([upload(1, 39), upload(2, 50, OWN)], 0, refused=False)
    assert not guard.full
    guard.look([upload(1, 39), upload(3, 1)], 0, refused=False)
    assert guard.full
    assert guard.reason == "Your quota of 100 bytes is used up: delete what you do not need."
    assert not guard.store_is_full
    assert guard.figures == Quota(100, 60, full=True)


def test_what_was_uploaded_counts_until_it_is_measured(guard: Guard, meter: Meter) -> None:
    measured(meter, 60)
    guard.look([upload(1, 40)], 0, refused=False)
    guard.look([], 0, refused=False)
    assert guard.full
    measured(meter, 60, since=math.inf)  # it was compressed, or deleted
    guard.look([], 0, refused=False)
    assert not guard.full


def test_what_was_uploaded_counts_once_when_the_store_has_told_of_it_already(
    guard: Guard, meter: Meter
) -> None:
    measured(meter, 10)
    guard.look([upload(1, 50)], 0, refused=False)
    guard.look([], 0, refused=False)
    assert guard.figures == Quota(100, 60)
    measured(meter, 60)  # by then, it may or may not be in there
    guard.look([upload(2, 30)], 0, refused=False)
    assert guard.figures == Quota(100, 60)
    assert not guard.full
    measured(meter, 75)  # half of the second one is
    guard.look([upload(2, 30)], 0, refused=False)
    assert not guard.full
    guard.look([], 0, refused=False)
    assert guard.figures == Quota(100, 90)
    measured(meter, 95, since=math.inf)
    guard.look([], 0, refused=False)
    assert guard.figures == Quota(100, 95)


def test_without_a_limit_nothing_is_full(guard: Guard, meter: Meter) -> None:
    meter.limit = 0
    measured(meter, 10**15)
    guard.look([], 0, refused=False)
    assert (guard.full, guard.reason) == (False, "")
    guard.look([], 0, refused=True)
    assert guard.reason.startswith("Your quota in the object store is used up")


def test_cleaning_up_lasts_as_long_as_there_is_reason(
    guard: Guard, meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(meter, 50)
    guard.look([], 0, refused=False)
    guard.allow_clean_up()
    assert guard.figures == Quota(100, 50), "there was no reason"
    measured(meter, 100)
    guard.look([], 0, refused=False)
    guard.allow_clean_up()
    assert guard.reason == ""
    assert guard.full
    measured(meter, 90)
    guard.look([], 0, refused=False)
    measured(meter, 100)
    guard.look([], 0, refused=False)
    assert guard.reason == "", "the measure went up and down a little"
    measured(meter, 79)
    guard.look([], 0, refused=False)
    measured(meter, 100)
    guard.look([], 0, refused=False)
    assert guard.reason, "it ended with the reason for it"
    monkeypatch.setattr(quota, "CLEAN_UP", 0)
    guard.allow_clean_up()
    assert guard.reason, "it ends by itself"


def test_it_is_measured_often_while_that_matters(guard: Guard, meter: Meter) -> None:
    measured(meter, 10)
    guard.look([], 5, refused=False)
    assert meter.asked[-1] == (True, False), "rclone has moved bytes"
    measured(meter, 80)
    guard.look([], 5, refused=False)
    assert meter.asked[-1] == (True, True)
