"""Judges the other site's changes, one after the other, before they are made here."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from quaderno.storage import conflicts, filer
from quaderno.storage.conflicts import Fate, Version
from quaderno.storage.filer import GivenUpError, Store
from quaderno.storage.owed import Owed

LOG = logging.getLogger("quaderno.replication")
_REMEMBERED = 10_000  # paths; far more than `filer.sync` has on its way
_VERSIONS = 32  # of one path, that are remembered


class Judge:
    """In their order; those with the signature `here` are this site's own, which come back and are
    not applied. Nothing comes into buckets that are `closed`."""

    def __init__(self, store: Store, owed: Owed) -> None:
        self.here = 0
        self.closed: frozenset[str] = frozenset()
        self._store, self._owed = store, owed
        self._seen: OrderedDict[str, list[Version | None]] = OrderedDict()
        self._removed: OrderedDict[str, None] = OrderedDict()  # directories, soon

    async def judge(self, message: Any) -> bool:
        """Take out what must not be applied; it may be a batch. Whether that changed anything."""
        return any([await self._touch(each) for each in (message, *message.events)])

    def close(self, closed: frozenset[str]) -> dict[str, Sequence[Version]]:
        """These buckets take nothing from now on, or still. What was let through into one just
        before may have been refused, so it is owed; what is owed since then, for `check`."""
        new = closed - self.closed
        self.closed = closed
        if not new:
            return {}
        LOG.info("What comes for %s waits until there is room", ", ".join(sorted(new)))
        paths = [path for path in self._seen if conflicts.bucket(path) in new]
        since = [path for path in paths if path not in self._owed]
        self._owed.note({path: _versions(self._seen[path]) for path in paths})
        return {path: self._owed.known(path) for path in since}

    async def check(self, path: str, known: Sequence[Version]) -> None:
        """What was let through last is not owed where it has been made, unless there is more that
        waits since then."""
        try:
            here = await self._store.version(path)
        except GivenUpError:
            return
        seen = self._seen.get(path)
        if seen and seen[-1] == here and self._owed.known(path) is known:
            self._owed.settle(path)

    def _refuses(self, path: str) -> bool:
        return conflicts.bucket(path) in self.closed

    def last(self, path: str) -> Version | None:
        """The latest version of what is at `path` that the stream has brought."""
        seen = _versions(self._seen.get(path, ()))
        return seen[-1] if seen else None

    async def _touch(self, change: Any) -> bool:
        """Whether `change` is another one now. One object that the store cannot have holds
        nobody's changes up."""
        try:
            return await self._judge(change)
        except GivenUpError:
            event = change.event_notification
            where = event.new_parent_path or change.directory
            self._owed.settle(f"{where}/{event.new_entry.name}")
            _take_out(event)
            return True

    async def _judge(self, change: Any) -> bool:
        """The same. Raises GivenUpError."""
        event = change.event_notification
        old, new = (
            getattr(event, name) if event.HasField(name) else None
            for name in ("old_entry", "new_entry")
        )
        if (old is None and new is None) or self.here in event.signatures:
            return False
        source = f"{change.directory}/{old.name}" if old is not None else ""
        target = f"{event.new_parent_path or change.directory}/{new.name}" if new else ""
        if any(each is not None and each.is_directory for each in (old, new)):
            if await self._judge_directory(source, target):
                return False
            _take_out(event)
            return True
        path = target or source
        if not conflicts.is_object(path):
            return False
        base = old if source == path else None
        is_later = new is not None and make_later(new, self.last(path))
        decided = await self._decide(event, path, filer.version(base), filer.version(new))
        return is_later or decided

    async def _judge_directory(self, source: str, target: str) -> bool:
        """Whether it may be removed, made or changed here."""
        if not target:
            if not await self._store.is_emptied(source):
                LOG.warning("%s is removed at the other site, but not empty here", source)
                return False
            self._removed[source] = None
            _forget(self._removed)
            return True
        self._removed.pop(target, None)
        if not source and conflicts.is_object(target) and self._refuses(target):
            self._owed.note({target: ()})
            return False
        if source or not conflicts.is_object(target):
            return True
        file = await self._store.entry(target)
        if file is None or file.is_directory or filer.content(file) in self._seen.get(target, ()):
            return True
        if await self._store.give_way(target, filer.content(file)):
            return True
        self._owed.note({target: ()})
        return False

    async def _decide(
        self, event: Any, path: str, base: Version | None, new: Version | None
    ) -> bool:
        there = await self._store.entry(path)
        is_directory = there is not None and there.is_directory and path not in self._removed
        here = None if there is None or there.is_directory else filer.content(there)
        seen = self._seen.get(path, [])
        known = [*(each for each in self._owed.known(path) if each not in seen), *seen]
        fate = Fate.LEAVE if is_directory else conflicts.judge(here, base, new, known)
        waits = fate is not Fate.LEAVE and new is not None and self._refuses(path)
        if not waits and fate is Fate.REPLACE and here is not None and conflicts.is_somebodys(path):
            # It may take long, and the bucket may be closed meanwhile.
            waits = not await self._store.keep(path, here) or self._refuses(path)
        if waits:
            if here is not None and fate is Fate.APPLY:
                known.append(here)
            self._owed.note({path: _versions(known)})
            _take_out(event)
            return True
        if fate is Fate.LEAVE or new is None:
            self._owed.settle(path)
        if fate is Fate.LEAVE:
            LOG.info("%s: what is here stays, and not the other site's change", path)
            self._remember(path, _with_left(seen, here, new))
            _take_out(event)
            return True
        self._remember(path, _with_applied(seen, here, new))
        if new is None:
            return False
        if here is not None and conflicts.is_late(here, base, new):
            await self._store.make_earlier(path, here, new, event.signatures)
        if here != base:
            # SeaweedFS would add the difference between two versions to what is here.
            event.ClearField("old_entry")
        return here != base

    def _remember(self, path: str, seen: list[Version | None]) -> None:
        self._seen[path] = seen[-_VERSIONS:]
        self._seen.move_to_end(path)
        _forget(self._seen)


def _with_applied(
    seen: list[Version | None], here: Version | None, new: Version | None
) -> list[Version | None]:
    """Now `new` is the last, and what is `here` before it; None: it was removed last."""
    known = seen if here is None or here in seen else [*seen, here]
    return [*(each for each in known if each != new), new]


def _with_left(
    seen: list[Version | None], here: Version | None, new: Version | None
) -> list[Version | None]:
    """Where what is `here` has followed `new`, that is before it."""
    if new in seen:
        return seen
    at = seen.index(here) if here is not None and here in seen else len(seen)
    return [*seen[:at], new, *seen[at:]]


def _versions(seen: Sequence[Version | None]) -> list[Version]:
    return [each for each in seen if each is not None]


def make_later(entry: Any, last: Version | None) -> bool:
    """Whether `entry`, which follows the version `last`, did not have a later time by itself."""
    if last is None or filer.content(entry).stored > last.stored:
        return False
    filer.store_as(entry, last.stored + 1)
    return True


def _forget(remembered: OrderedDict[str, Any]) -> None:
    """What has been remembered longest, where that is much."""
    while len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)


def _take_out(event: Any) -> None:
    """An event without entries is a mark of how far the stream has come."""
    event.ClearField("old_entry")
    event.ClearField("new_entry")
