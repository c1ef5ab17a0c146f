"""The disk of the caches: how much must stay free, and how much of that the ballast holds. Pure."""

from dataclasses import dataclass

SMALL_DISK = 0.15  # of a disk's size is kept free where that is less than `agent.cache_reserve`
BALLAST_MOST = 2**30  # bytes
_EASE = 1.2  # how much more must be free until writing is allowed again
_FULL = 1 / 16  # of what is to be kept free


@dataclass(frozen=True)
class CacheDisk:
    """All in bytes: `free` does not count the `held` ones of the ballast; `reserve` is the
    setting."""

    total: int
    free: int
    held: int
    reserve: int

    @property
    def needed(self) -> int:
        """What must be free beside the ballast, or nobody may write."""
        return min(self.reserve, int(self.total * SMALL_DISK))

    @property
    def ballast(self) -> int:
        """How big it is. Less than `needed`: giving it up must not let people write again."""
        return min(BALLAST_MOST, self.needed // 2)

    @property
    def missing(self) -> int:
        """What of the ballast has been given up, or could never be had."""
        return max(self.ballast - self.held, 0)

    @property
    def is_full(self) -> bool:
        """Whether next to nothing is left: time to give the ballast up."""
        return self.free < self.needed * _FULL

    def is_short(self, *, was_short: bool) -> bool:
        """Whether more could not be kept. A ballast that is missing counts as if it were there,
        so that it is taken back before anybody may write."""
        return self.free - self.missing < self.needed * (_EASE if was_short else 1)
