"""What is said every second for an hour is logged each minute."""

import logging
import time

import pytest

from quaderno.storage.unrepeated import EVERY, REPEATED, Unrepeated


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    logger = logging.Logger("of its own")
    logger.addFilter(Unrepeated())
    logger.addHandler(caplog.handler)
    return logger


def test_the_same_line_comes_once_a_minute_with_their_number(
    now: list[float], log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(int(EVERY) + 1):
        now[0] = 1000 + second
        log.info("%s: the store is away", "ada", extra=REPEATED)
        log.info("%s: the store is away", "bob", extra=REPEATED)
    assert caplog.messages == [
        "ada: the store is away",
        "bob: the store is away",
        "ada: the store is away (and 59 times before this)",
        "bob: the store is away (and 59 times before this)",
    ]


def test_everything_else_is_logged_each_time(
    now: list[float], log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        log.info("ada: READY")
    assert caplog.messages == ["ada: READY"] * 2
