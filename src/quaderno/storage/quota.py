"""One person's quota: how full their bucket is, when it takes nothing more, and cleaning up.

What waits to be uploaded counts as used, and so does what was uploaded after the last measurement:
a program is to be told before the store has to refuse. Then the bucket's mount is read-only, in
which nothing can be deleted either; so its owner may have it writable for a while, to clean up.
The store's own quota remains in force meanwhile.
"""

import time
from collections.abc import Iterable

from quaderno.config import Config
from quaderno.quantities import say_amount
from quaderno.storage.health import NOTICE_AT, Quota
from quaderno.storage.keys import HubKeys
from quaderno.storage.mounts import MountPlan
from quaderno.storage.uploads import Upload
from quaderno.storage.usage import ACTIVE, Meter

CLEAN_UP = 900.0  # seconds


class Guard:
    """Knows whether the personal bucket is full; never waits for the store."""

    def __init__(self, config: Config, keys: HubKeys, plan: MountPlan) -> None:
        self._meter, self._plan = Meter(config, keys, plan.username), plan
        self._waiting: dict[int, int] = {}  # bytes by rclone's number of the upload
        self._sent: list[tuple[float, int]] = []  # when, and bytes
        self._before = self._since = 0  # bytes: used when all was told and none waited; sent since
        self._moved, self._moved_at = -1, 0.0
        self._refused = False
        self._until = 0.0

    def look(self, waiting: Iterable[Upload], moved: int, *, refused: bool) -> None:
        """Take note of what waits now, of the bytes that rclone has `moved` so far, and whether
        the store refuses files for the quota; have the bucket measured when it is time."""
        now = time.monotonic()
        if moved != self._moved:
            self._moved, self._moved_at = moved, now
        here = {each.id: each.bytes for each in waiting if each.file.area == self._plan.home}
        sent = [(now, size) for id_, size in self._waiting.items() if id_ not in here]
        since = self._meter.last.since if self._meter.last else now
        self._sent = [each for each in self._sent if each[0] >= since]
        if not self._sent and not self._waiting:
            self._before, self._since = self._measured, 0
        self._sent += sent
        self._since += sum(size for _, size in sent)
        self._waiting, self._refused = here, refused
        if not self._is_short:
            self._until = 0.0
        self._meter.measure(often=now < self._moved_at + ACTIVE, urgent=self._is_short)

    def allow_clean_up(self) -> None:
        """Have the bucket writable for CLEAN_UP seconds even while it is full, or until there is
        room: what is measured may go up and down around the limit."""
        if self._is_short:
            self._until = time.monotonic() + CLEAN_UP

    @property
    def full(self) -> bool:
        """Whether the bucket takes nothing more."""
        return self._refused or self._part >= 1

    @property
    def _is_short(self) -> bool:
        return self._refused or self._part >= NOTICE_AT

    @property
    def store_is_full(self) -> bool:
        """Whether the store itself has reason to refuse."""
        last, limit = self._meter.last, self._meter.limit
        return last is not None and 0 < limit <= last.used

    @property
    def reason(self) -> str:
        """Why the bucket cannot be written to, for its owner; nothing when it can."""
        if not self.full or self._cleaning is not None:
            return ""
        limit = self._meter.limit
        quota = f"Your quota of {say_amount(limit)}" if limit else "Your quota in the object store"
        return f"{quota} is used up: delete what you do not need."

    @property
    def figures(self) -> Quota | None:
        """None while nothing is known."""
        last = self._meter.last
        if last is None:
            return None
        cleaning = self._cleaning if self.full else None
        return Quota(self._meter.limit, self._used, self.full, cleaning)

    @property
    def _measured(self) -> int:
        return self._meter.last.used if self._meter.last else 0

    @property
    def _used(self) -> int:
        return self._with(0)

    def _with(self, waiting: int) -> int:
        """What is used, and so many bytes. Of what was sent lately, or is being sent, the store may
        have told already, or not."""
        most = self._measured + sum(size for _, size in self._sent)
        return max(self._measured, min(most, self._before + self._since) + waiting)

    @property
    def _part(self) -> float:
        """Of the quota, with what waits."""
        limit = self._meter.limit
        if not limit or self._meter.last is None:
            return 0.0
        return self._with(sum(self._waiting.values())) / limit

    @property
    def _cleaning(self) -> float | None:
        """Seconds that are left for cleaning up."""
        left = self._until - time.monotonic()
        return left if left > 0 else None
