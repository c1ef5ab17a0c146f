"""Starts that wait until there is room, in the order in which they came; pure.

The first in line goes as soon as there is room for it, and nobody overtakes: a large server that
waits gets its turn, however many small ones come after it.
"""

from collections.abc import Hashable

from quaderno.hub.capacity import Amount


class Line:
    """Who waits, by a key that is theirs alone."""

    def __init__(self) -> None:
        self._waiting: list[Hashable] = []

    def __contains__(self, who: Hashable) -> bool:
        return who in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, who: Hashable) -> None:
        """Stand at the end; who waits already keeps their place."""
        if who not in self._waiting:
            self._waiting.append(who)

    def leave(self, who: Hashable) -> None:
        """Whether served or not; who does not wait may leave, too."""
        if who in self._waiting:
            self._waiting.remove(who)

    def place(self, who: Hashable) -> int:
        """1 for the first; for whoever does not wait, the place that they would get."""
        return 1 + (self._waiting.index(who) if who in self else len(self))

    def may_go(self, who: Hashable, wants: Amount, room: Amount, taken: Amount) -> bool:
        """Whether it is their turn, and `room`, of which servers have `taken`, is enough."""
        return self.place(who) == 1 and fits(wants, room, taken)


def fits(wants: Amount, room: Amount, taken: Amount) -> bool:
    """Whether there is room for one more. But for GPUs, for a first server there always is: the
    smallest that may be chosen may be larger than the room that was configured."""
    free = room - taken
    if wants.gpu > free.gpu:
        return False
    if not taken.memory:
        return True
    return wants.cpu <= free.cpu and wants.memory <= free.memory
