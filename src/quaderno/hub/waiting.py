"""Starts that wait for room (`line`), and what wakes them.

A hub has one line, in memory: when the hub ends, so do the starts that wait, and their people are
told that the service was restarted, as of any start that has no container yet.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from quaderno.config.choices import Room
from quaderno.hub import capacity, start_failures
from quaderno.hub.capacity import Amount
from quaderno.hub.failures import Cause
from quaderno.hub.line import Line
from quaderno.hub.progress import Progress

# Seconds between two looks; whatever makes room tells (`changed`), but for the engine's own growth.
_LOOK_EVERY = 10.0

Look = Callable[[], tuple[Amount, Amount]]  # what there is room for, and what of it is taken


class Waiting:
    """Lets starts in, one after another; `none` is why not, said with `left`, a sentence's part
    about the room that there is and what of it is taken."""

    def __init__(
        self,
        none: Cause = start_failures.NO_ROOM,
        left: Callable[[Amount, Amount], str] = capacity.left_in_words,
        what: str = "",
    ) -> None:
        self._none, self._left, self._what = none, left, what
        self.line = Line()
        self._let_in: set[Hashable] = set()
        self._news: dict[Hashable, asyncio.Event] = {}

    def counts(self, who: Hashable) -> bool:
        """Whether a start of this hub was let in, so that its server takes room."""
        return who in self._let_in

    def ended(self, who: Hashable) -> None:
        """Its server takes no room any more."""
        self._let_in.discard(who)
        self.changed()

    def changed(self) -> None:
        """There may be room, or places in line have changed."""
        for news in self._news.values():
            news.set()

    async def let_in(
        self, who: Hashable, wants: Amount, look: Look, rule: Room, *, wait: bool, steps: Progress
    ) -> None:
        """Return when there is room for `who`, which takes it from then on.

        Raises StartFailure when there is none and they do not want to `wait`, too many wait
        already, or it took too long.
        """
        self._let_in.discard(who)
        if not self.line.may_go(who, wants, *look()):
            if not wait or not rule.waiting:
                raise self._none.failure(why=self._why(look))
            if len(self.line) >= rule.waiting:
                raise start_failures.LINE_FULL.failure(waiting=len(self.line))
            with self._in_line(who) as news:
                await self._turn(who, wants, look, rule.patience, news, steps)
        self._let_in.add(who)

    def _why(self, look: Look) -> str:
        if waiting := len(self.line):
            return "1 start waits for some" if waiting == 1 else f"{waiting} starts wait for some"
        return self._left(*look())

    @contextmanager
    def _in_line(self, who: Hashable) -> Iterator[asyncio.Event]:
        """Whatever ends the wait, a cancelled start too, the next one moves up."""
        self.line.join(who)
        self._news[who] = news = asyncio.Event()
        try:
            yield news
        finally:
            self.line.leave(who)
            del self._news[who]
            self.changed()

    async def _turn(
        self,
        who: Hashable,
        wants: Amount,
        look: Look,
        patience: float,
        news: asyncio.Event,
        steps: Progress,
    ) -> None:
        deadline = time.monotonic() + patience
        shown = ""
        while not self.line.may_go(who, wants, *look()):
            text = f"place {self.line.place(who)} of {len(self.line)} in line{self._what}"
            if text != shown:
                steps.begin("room", text)
                shown = text
            left = deadline - time.monotonic()
            if left <= 0:
                raise start_failures.WAITED.failure(minutes=round(patience / 60))
            news.clear()
            try:
                await asyncio.wait_for(news.wait(), min(_LOOK_EVERY, left))
            except TimeoutError:
                continue
        steps.done("room")
