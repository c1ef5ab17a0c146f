import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing

import pytest

from quaderno.hub import attempts as module
from quaderno.hub import start_failures
from quaderno.hub.attempts import attempts, named
from quaderno.hub.failures import StartFailure
from quaderno.hub.progress import Progress

LOG = logging.getLogger("test-of-attempts")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF", (0, 0, 0))


class Start:
    """Fails as often as there are `failures`, then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.story: list[str] = []
        self.notes: list[str] = []
        self.tried = asyncio.Event()
        self.steps = Progress()

    async def once(self) -> str:
        self.story.append("try")
        self.tried.set()
        self.steps.begin("container")
        if self.failures:
            raise self.failures.pop(0)
        return "here"

    async def clear(self) -> None:
        self.story.append("clear")

    def run(self) -> str:
        return asyncio.run(self._watched())

    async def _watched(self) -> str:
        watcher = asyncio.create_task(self._watch())
        try:
            return await attempts(self.once, self.clear, self.steps, LOG)
        finally:
            await asyncio.sleep(0)
            watcher.cancel()

    async def _watch(self) -> None:
        async with aclosing(self.steps.events()) as events:
            async for event in events:
                if "trying again" in event["message"]:
                    self.notes.append(event["message"])


def hiccup() -> StartFailure:
    return start_failures.ENGINE_SILENT.failure("socket: refused")


def test_what_passes_is_told_and_cleared_away_and_no_failure() -> None:
    start = Start(hiccup(), hiccup())
    assert start.run() == "here"
    assert start.story == ["try", "clear", "try", "clear", "try"]
    assert start.notes == [
        "The container engine does not answer; trying again in 0 s (2 of 4)",
        "The container engine does not answer; trying again in 0 s (3 of 4)",
    ]


def test_the_last_try_fails_with_the_number_of_tries() -> None:
    start = Start(*[hiccup() for _ in range(4)])
    with pytest.raises(StartFailure) as failed:
        start.run()
    assert start.story.count("try") == 4
    said = failed.value.jupyterhub_message
    assert said.startswith("The container engine does not answer (tried 4 times). Start again")
    assert failed.value.retry_helps
    assert failed.value.log_message.endswith("socket: refused")


@pytest.mark.parametrize(
    "failure",
    [
        start_failures.CRASHED.failure(code=1),
        start_failures.NO_PLACE.failure(),
        StartFailure("cpu must be a number.", reason="options"),
        hiccup().after(4),  # a part of the start has tried already
        RuntimeError("what?"),
    ],
    ids=["crash", "later, by hand", "options", "tried", "unknown"],
)
def test_what_does_not_pass_is_not_tried_again(failure: Exception) -> None:
    start = Start(failure)
    with pytest.raises(type(failure)) as failed:
        start.run()
    assert failed.value is failure
    assert start.story == ["try"]


def test_a_cancelled_start_is_over_in_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF", (3600,))
    start = Start(hiccup())

    async def scenario() -> None:
        running = asyncio.create_task(attempts(start.once, start.clear, start.steps, LOG))
        await start.tried.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(scenario())
    assert start.story == ["try"]


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        with named(LOG, "ada"):
            raise error

    return fail


def test_the_unforeseen_has_a_reference_that_the_log_has_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(StartFailure) as failed:
        failing(KeyError("Networks"))()
    failure = failed.value
    assert failure.reason == "unknown"
    assert "Networks" not in failure.jupyterhub_message
    reference = failure.jupyterhub_message.partition("(Reference ")[2][:6]
    (record,) = caplog.records
    assert f"[{reference}] KeyError: 'Networks'" in record.getMessage()
    assert record.exc_info


@pytest.mark.parametrize("error", [hiccup(), asyncio.CancelledError()])
def test_what_has_a_name_keeps_it(error: BaseException) -> None:
    with pytest.raises(type(error)) as failed:
        failing(error)()
    assert failed.value is error
