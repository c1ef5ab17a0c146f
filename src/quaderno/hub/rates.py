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
        now = self._clock()
        if len(self._buckets) >= _TIDY_AT:
            self._tidy(now)
        left = self._left(asker, now)
        if left < 1:
            return (1 - left) / self._per_second
        self._buckets[asker] = left - 1, now
        return 0

    def _left(self, asker: Hashable, now: float) -> float:
        left, since = self._buckets.get(asker, (self._most, now))
        return min(self._most, left + (now - since) * self._per_second)

    def _tidy(self, now: float) -> None:
        """Forget whoever has not asked for so long that they count as new."""
        full = [asker for asker in self._buckets if self._left(asker, now) >= self._most]
        for asker in full:
            del self._buckets[asker]
