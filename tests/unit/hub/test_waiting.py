"""Who waits for room, who goes when, and what ends a wait."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.config.choices import Room
from quaderno.hub.capacity import Amount
from quaderno.hub.failures import StartFailure
from quaderno.hub.line import Line, fits
from quaderno.hub.progress import Progress
from quaderno.hub.waiting import Waiting

NOTHING = Amount(0, 0)
RULE = Room(memory=1, waiting=3, patience=600)


def test_the_first_server_always_fits() -> None:
    assert fits(Amount(4, 8), Amount(1, 1), NOTHING)
    assert not fits(Amount(1, 1), Amount(4, 8), Amount(4, 4))
    assert fits(Amount(1, 4), Amount(4, 8), Amount(3, 4))


def test_nobody_overtakes() -> None:
    line = Line()
    room, taken = Amount(100, 4), Amount(1, 3)
    line.join("large")
    assert not line.may_go("large", Amount(1, 4), room, taken)
    assert not line.may_go("small", Amount(1, 1), room, taken), "it would fit"
    assert line.place("small") == 2
    line.leave("large")
    assert line.may_go("small", Amount(1, 1), room, taken)


@given(st.lists(st.tuples(st.sampled_from(["join", "leave"]), st.integers(0, 5))))
def test_the_order_is_that_of_arrival(moves: list[tuple[str, int]]) -> None:
    line, expected = Line(), list[int]()
    for move, who in moves:
        getattr(line, move)(who)
        if move == "leave":
            expected = [one for one in expected if one != who]
        elif who not in expected:
            expected.append(who)
        assert [line.place(one) for one in expected] == list(range(1, len(expected) + 1))
        assert len(line) == len(expected)


class Machine:
    """Room for 4 bytes, and who has how much of it."""

    def __init__(self) -> None:
        self.waiting, self.has = Waiting(), dict[str, int]()

    def look(self) -> tuple[Amount, Amount]:
        taken = sum(much for who, much in self.has.items() if self.waiting.counts(who))
        return Amount(100, 4), Amount(0, taken)

    async def start(
        self, who: str, much: int, *, wait: bool = True, rule: Room = RULE, steps: Any = None
    ) -> None:
        self.has[who] = much
        wants = Amount(1, much)
        steps = steps or Progress()
        await self.waiting.let_in(who, wants, self.look, rule, wait=wait, steps=steps)

    def end(self, who: str) -> None:
        del self.has[who]
        self.waiting.ended(who)

    def runs(self, who: str) -> bool:
        return self.waiting.counts(who)


def played(story: Callable[[Machine], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(Machine()), 30))


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_starts_go_in_order_as_soon_as_there_is_room() -> None:
    async def story(machine: Machine) -> None:
        steps = Progress()
        await machine.start("first", 3)
        second = asyncio.create_task(machine.start("second", 4))
        await settled()
        third = asyncio.create_task(machine.start("third", 1, steps=steps))
        await settled()
        assert not machine.runs("second")
        assert not machine.runs("third"), "it does not overtake"
        machine.end("first")
        await second
        await settled()
        assert not third.done()
        machine.end("second")
        await third
        events = steps.events()
        told = [(await anext(events))["message"] for _ in range(3)]
        assert told == [
            "Waiting for room: place 2 of 2 in line",
            "Waiting for room: place 1 of 1 in line",
            "Waiting for room",
        ]

    played(story)


def test_a_start_that_is_cancelled_leaves_the_line() -> None:
    async def story(machine: Machine) -> None:
        await machine.start("first", 3)
        second = asyncio.create_task(machine.start("second", 4))
        await settled()
        third = asyncio.create_task(machine.start("third", 1))
        await settled()
        second.cancel()
        await third
        assert machine.runs("third")
        assert not machine.runs("second")
        assert len(machine.waiting.line) == 0

    played(story)


async def refused(start: Coroutine[Any, Any, None]) -> StartFailure:
    with pytest.raises(StartFailure) as failed:
        await start
    return failed.value


def test_who_does_not_want_to_wait_is_told_what_is_free() -> None:
    async def story(machine: Machine) -> None:
        await machine.start("first", 3)
        failure = await refused(machine.start("second", 2, wait=False))
        assert failure.reason == "no_room"
        assert "GB of memory and 100 CPUs are free" in str(failure)
        waits = asyncio.create_task(machine.start("third", 2))
        await settled()
        failure = await refused(machine.start("fourth", 1, wait=False))
        assert "1 start waits for some" in str(failure)
        waits.cancel()

    played(story)


def test_a_wait_is_bounded_in_number_and_time() -> None:
    async def story(machine: Machine) -> None:
        await machine.start("first", 4)
        waits = [asyncio.create_task(machine.start(f"{i}", 1)) for i in range(RULE.waiting)]
        await settled()
        failure = await refused(machine.start("one-more", 1))
        assert failure.reason == "line_full"
        for task in waits:
            task.cancel()
        await asyncio.wait(waits)
        failure = await refused(
            machine.start("late", 1, rule=RULE.model_copy(update={"patience": 0}))
        )
        assert (failure.reason, failure.retry_helps, failure.may_pass) == ("waited", True, False)
        assert len(machine.waiting.line) == 0
        failure = await refused(
            machine.start("never", 1, rule=RULE.model_copy(update={"waiting": 0}))
        )
        assert failure.reason == "no_room"

    played(story)
