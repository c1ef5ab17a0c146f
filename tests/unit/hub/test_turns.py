"""How many begin at once, and that a turn always ends."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from quaderno.hub.progress import Progress
from quaderno.hub.turns import Turns


def test_one_after_another_in_the_order_in_which_they_came() -> None:
    async def story() -> list[str]:
        turns, went = Turns(2), list[str]()

        async def start(who: str) -> None:
            await turns.take(who, Progress())
            went.append(who)

        starts = [asyncio.create_task(start(who)) for who in "abcd"]
        await asyncio.wait(starts, timeout=0.05)
        assert went == ["a", "b"]
        for who in "ab":
            turns.give(who)
            turns.give(who)  # twice is once
        await asyncio.wait(starts)
        return went

    assert asyncio.run(story()) == ["a", "b", "c", "d"]


def test_only_who_waits_is_told_of_it() -> None:
    async def story() -> tuple[Progress, Progress]:
        turns, first, second = Turns(1), Progress(), Progress()
        await turns.take("first", first)
        waiting = asyncio.create_task(turns.take("second", second))
        await asyncio.sleep(0)
        assert [event["state"] for event in second.newest()] == ["running"]
        turns.give("first")
        await waiting
        return first, second

    first, second = asyncio.run(story())
    assert first.newest() == []
    (told,) = second.newest()
    assert (told["step"], told["state"]) == ("turn", "done")


def test_a_turn_that_takes_too_long_is_over() -> None:
    async def story() -> None:
        turns = Turns(1, longest=0.01)
        await turns.take("slow", Progress())
        await asyncio.wait_for(turns.take("next", Progress()), 60)
        turns.give("slow")  # has none to give any more
        waiting = asyncio.create_task(turns.take("third", Progress()))
        turns.give("next")
        await asyncio.wait_for(waiting, 60)

    asyncio.run(story())


def test_who_takes_a_turn_twice_has_one() -> None:
    async def story() -> None:
        turns = Turns(2)
        for _ in range(3):
            await asyncio.wait_for(turns.take("a", Progress()), 60)
        await asyncio.wait_for(turns.take("b", Progress()), 60)

    asyncio.run(story())


@given(st.lists(st.sampled_from(["cancel", "give", "both"]), max_size=12))
def test_whoever_is_cancelled_keeps_nobody_waiting(ends: list[str]) -> None:
    async def story() -> None:
        turns = Turns(1)
        for number, end in enumerate(ends):
            await turns.take(number, Progress())
            waiting = asyncio.create_task(turns.take("cancelled", Progress()))
            await asyncio.sleep(0)
            if end == "both":  # it has just been given what it does not want any more
                turns.give(number)
            if end != "give":
                waiting.cancel()
            await asyncio.wait([waiting], timeout=0.01)
            turns.give(number)
            await asyncio.wait([waiting])
            turns.give("cancelled")
        await asyncio.wait_for(turns.take("last", Progress()), 60)

    asyncio.run(story())
