"""How often somebody may ask: a token bucket for each, so that a loop gone wild in one server does
not keep the hub, the identity provider and the store from everybody else."""

import time
from collections.abc import Callable, Hashable

_TIDY_AT = 1000  # buckets


class Rates:
    """Each asker may ask `per_minute` times at once, and that often a minute in the long run."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._per_second, self._clock = float(per_minute), per_minute / 60, clock
        self._buckets: dict[Hashable, tuple[float, float]] = {}  # what is left, and since when

    def wait(self, asker: Hashable) -> float:
        """Seconds until `asker` may ask again; 0 when this time is admitted, and counted."""
        wait = self.due(asker)
        if not wait:
            self.count(asker)
        return wait

    def due(self, asker: Hashable) -> float:
        """Seconds until `asker` may ask again; counts nothing."""
        left = self._left(asker, self._clock())
        return 0 if left >= 1 else (1 - left) / self._per_second

    def count(self, asker: Hashable) -> None:
        """`asker` has asked, and was admitted."""
        now = self._clock()
        if len(self._buckets) >= _TIDY_AT:
            self._tidy(now)
        self._buckets[asker] = self._left(asker, now) - 1, now

    def _left(self, asker: Hashable, now: float) -> float:
        left, since = self._buckets.get(asker, (self._most, now))
        return min(self._most, left + (now - since) * self._per_second)

    def _tidy(self, now: float) -> None:
        """Forget whoever has not asked for so long that they count as new."""
        full = [asker for asker in self._buckets if self._left(asker, now) >= self._most]
        for asker in full:
            del self._buckets[asker]


class PersonalRates:
    """Each token may ask as often as `each` says, and all of one person's as `together` does: a
    server gone wild leaves something to the others, and more tokens do not make more of it."""

    def __init__(self, each: Rates, together: Rates) -> None:
        self._each, self._together = each, together

    def wait(self, token: Hashable, person: Hashable | None) -> float:
        """Seconds until this token may ask again; 0 when this time is admitted, and counted.

        `person` is whose token it is, None for a service's.
        """
        wait = self._each.due(token)
        if person is not None:
            wait = max(wait, self._together.due(person))
        if not wait:
            self._each.count(token)
            if person is not None:
                self._together.count(person)
        return wait
