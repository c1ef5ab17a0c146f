"""Only so many servers begin at the same moment; the others wait for their turn.

Whatever shares processors ends together, and late: of twenty servers that begin side by side on two
processors the first answers when the last does. One after another the last answers no later, and
half of them in half of the time.
"""

import asyncio
import os
from collections.abc import Hashable

from quaderno.hub.progress import Progress

# Servers for each processor: one that begins waits now and then, for the engine and for the disk.
_FOR_EACH_CPU = 1.5
# Seconds of a turn, at most: what takes longer is mostly waiting, and keeps nobody else from it.
_LONGEST = 15.0


class Turns:
    """Of all starts of a hub, first come, first served."""

    def __init__(self, at_once: int = 0, longest: float = _LONGEST) -> None:
        """`at_once`: how many; for 0, as this machine's processors allow."""
        self._free = asyncio.Semaphore(at_once or round(_FOR_EACH_CPU * (os.cpu_count() or 1)))
        self._longest = longest
        self._ends: dict[Hashable, asyncio.TimerHandle] = {}

    async def take(self, who: Hashable, steps: Progress) -> None:
        """Return when it is the turn of `who`, until `give`, or until it has taken too long."""
        if self._free.locked():
            steps.begin("turn")
            await self._free.acquire()
            steps.done("turn")
        else:
            await self._free.acquire()
        self.give(who)  # of an earlier one, should they have it still
        loop = asyncio.get_running_loop()
        self._ends[who] = loop.call_later(self._longest, self.give, who)

    def give(self, who: Hashable) -> None:
        """To the next one; who has no turn gives none."""
        if ends := self._ends.pop(who, None):
            ends.cancel()
            self._free.release()
