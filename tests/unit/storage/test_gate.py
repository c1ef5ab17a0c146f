"""What the gate makes one stream of."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from quaderno.storage import filer_messages
from quaderno.storage.gate import _merged, _reached


def change(ts_ns: int, is_event: bool = True) -> Any:
    made = filer_messages.SubscribeMetadataResponse(ts_ns=ts_ns)
    if is_event:
        made.event_notification.SetInParent()
    return made


def test_a_sign_of_life_does_not_tell_how_far_the_stream_has_come() -> None:
    assert _reached(change(5, is_event=False)) == 0
    batch = change(3)
    batch.events.extend([change(4), change(9, is_event=False)])
    assert _reached(batch) == 4


class Stream:
    """So many numbers, then what is raised, or nothing more."""

    def __init__(self, first: int, count: int, end: Exception | None = None) -> None:
        self._numbers, self._end = range(first, first + count), end
        self.is_closed = False
        self.at = first - 1  # what was asked for last

    async def run(self) -> AsyncGenerator[int, None]:
        try:
            for number in self._numbers:
                self.at = number
                yield number
            if self._end is not None:
                raise self._end
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.is_closed = True


def test_both_streams_come_and_are_closed_in_the_end() -> None:
    async def story() -> None:
        one, other = Stream(0, 3), Stream(10, 3)
        async with aclosing(_merged(one.run(), other.run())) as merged:
            found = [await anext(merged) for _ in range(5)]
            await asyncio.sleep(0.01)
            assert found[-1] in (one.at, other.at)  # it has not gone on
        assert {0, 1, 10, 11} < set(found)
        assert one.is_closed
        assert other.is_closed

    asyncio.run(story())


def test_where_one_fails_the_other_is_closed() -> None:
    async def story() -> None:
        one, other = Stream(0, 1, ConnectionError("gone")), Stream(10, 0)
        with pytest.raises(ConnectionError, match="gone"):
            async with aclosing(_merged(one.run(), other.run())) as merged:
                async for _ in merged:
                    pass
        assert other.is_closed

    asyncio.run(story())


def test_who_waits_may_be_cancelled() -> None:
    async def story() -> None:
        one, other = Stream(0, 0), Stream(10, 0)

        async def wait() -> None:
            async with aclosing(_merged(one.run(), other.run())) as merged:
                await anext(merged)

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (one.is_closed, other.is_closed) == (True, True)
        assert waiting.cancelled()

    asyncio.run(story())
