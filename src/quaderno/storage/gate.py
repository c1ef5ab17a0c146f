"""Stands between `filer.sync` and the other site's filer, and sees each change before it is made.

SeaweedFS applies a change of the other site to whatever is here: it overwrites or removes what was
written here meanwhile, and may even mix both. So the stream of changes goes through this program,
which compares each with what is here (`conflicts`). What a change would replace is copied beside
it first; what must not be done is taken out of the stream.

SeaweedFS orders versions by their times, and S3's are whole seconds. Where `filer.sync` cannot read
a version, because that has been replaced, it tries for ever unless the other filer has one of a
later time, and all other changes wait. So the versions of one object pass with times that rise, and
the other filer's answer has the time of the version that it has now. All else that is asked of it
is passed on as it is.

Between the look and the change some milliseconds pass, in which a write here is not seen: of two
writes of one object in the same moment the later one stays, as in any one store.
"""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from quaderno.config import Config
from quaderno.storage import conflicts, filer, filer_messages
from quaderno.storage.conflicts import Fate, Version
from quaderno.storage.filer import OPTIONS, GivenUpError, Store

LOG = logging.getLogger("quaderno.replication")
_REMEMBERED = 10_000  # paths; far more than `filer.sync` has on its way
_VERSIONS = 32  # of one path, that are remembered
_CHANGES = f"{filer_messages.SERVICE}/SubscribeMetadata"
_LOOKUP = f"{filer_messages.SERVICE}/LookupDirectoryEntry"


class Gate:
    """Open inside the event loop; `port` is where `filer.sync` finds the other site's filer."""

    def __init__(self, config: Config) -> None:
        self.port = 0
        self._config = config
        self._store = Store(config)
        self._judging: Judge | None = None
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((_Handlers(self),))

    async def open(self) -> None:
        """Serve, at a port of loopback that is free."""
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def changes(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """The other site's, as they may be applied here."""
        here = filer_messages.SubscribeMetadataRequest.FromString(request).signature
        self._judging = judging = Judge(self._config, self._store, here)
        async for response in self._ask(_CHANGES, request, context):
            yield await judging.pass_on(response)

    async def others(
        self, method: str, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        """Whatever else is asked, with one answer or many."""
        async for request in requests:
            last = self._passed(request) if method == _LOOKUP else None
            async for response in self._ask(method, request, context):
                yield _timed(response, last) if last is not None else response

    def _passed(self, request: bytes) -> Version | None:
        """The last version that has been judged of what is looked up."""
        asked = filer_messages.LookupDirectoryEntryRequest.FromString(request)
        path = f"{asked.directory}/{asked.name}"
        return self._judging.last(path) if self._judging is not None else None

    async def _ask(self, method: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """The other filer, each time anew: a connection from before the way to it was open would
        stay with the director for ever."""
        address = f"127.0.0.1:{self._config.ports.peer_filer_grpc}"
        async with grpc.aio.insecure_channel(address, OPTIONS) as channel:
            try:
                async for response in channel.unary_stream(method)(request):
                    yield response
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details())


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every method of a filer, with its messages as they are."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def service(self, handler_call_details: Any) -> Any:
        method = handler_call_details.method
        if method == _CHANGES:
            return grpc.unary_stream_rpc_method_handler(self._gate.changes)

        async def others(requests: Any, context: Any) -> AsyncIterator[bytes]:
            async for response in self._gate.others(method, requests, context):
                yield response

        return grpc.stream_stream_rpc_method_handler(others)


class Judge:
    """Of one stream of changes, in their order; those with the signature `here` are this site's
    own, which come back and are not applied."""

    def __init__(self, config: Config, store: Store, here: int) -> None:
        self._config, self._store, self._here = config, store, here
        self._seen: OrderedDict[str, list[Version]] = OrderedDict()
        self._removed: OrderedDict[str, None] = OrderedDict()  # directories, soon

    async def pass_on(self, response: bytes) -> bytes:
        """The same, without what must not be applied; it may be a batch."""
        message = filer_messages.SubscribeMetadataResponse.FromString(response)
        touched = [await self._touch(each) for each in (message, *message.events)]
        passed: bytes = message.SerializeToString() if any(touched) else response
        return passed

    def last(self, path: str) -> Version | None:
        """The latest version of what is at `path` that the stream has brought."""
        seen = self._seen.get(path)
        return seen[-1] if seen else None

    async def _touch(self, change: Any) -> bool:
        """Whether `change` is another one now. One object that the store cannot have holds
        nobody's changes up."""
        try:
            return await self._judge(change)
        except GivenUpError:
            _take_out(change.event_notification)
            return True

    async def _judge(self, change: Any) -> bool:
        """The same. Raises GivenUpError."""
        event = change.event_notification
        old, new = (
            getattr(event, name) if event.HasField(name) else None
            for name in ("old_entry", "new_entry")
        )
        if (old is None and new is None) or self._here in event.signatures:
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
        is_later = new is not None and _make_later(new, self.last(path))
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
        if source or not conflicts.is_object(target):
            return True
        file = await self._store.entry(target)
        if file is None or file.is_directory or filer.content(file) in self._seen.get(target, ()):
            return True
        return await self._store.give_way(target, filer.content(file))

    async def _decide(
        self, event: Any, path: str, base: Version | None, new: Version | None
    ) -> bool:
        there = await self._store.entry(path)
        is_directory = there is not None and there.is_directory and path not in self._removed
        here = None if there is None or there.is_directory else filer.content(there)
        seen = self._seen.pop(path, [])
        fate = Fate.LEAVE if is_directory else conflicts.judge(here, base, new, seen)
        if fate is Fate.REPLACE and here is not None and conflicts.is_somebodys(path):
            kept = await self._store.keep(path, here)
            fate = Fate.REPLACE if kept else Fate.LEAVE
        if fate is Fate.LEAVE:
            LOG.info("%s: what is here stays, and not the other site's change", path)
            self._remember(path, seen, new)
            _take_out(event)
            return True
        self._remember(path, seen, here, new)
        if new is None:
            return False
        if here is not None and conflicts.is_late(here, base, new):
            await self._store.make_earlier(path, here, new, event.signatures)
        if here != base:
            # SeaweedFS would add the difference between two versions to what is here.
            event.ClearField("old_entry")
        return here != base

    def _remember(self, path: str, seen: list[Version], *judged: Version | None) -> None:
        versions = [*seen, *(each for each in judged if each is not None)]
        self._seen[path] = versions[-_VERSIONS:]
        _forget(self._seen)


def _make_later(entry: Any, last: Version | None) -> bool:
    """Whether `entry`, which follows the version `last`, did not have a later time by itself."""
    if last is None or filer.content(entry).stored > last.stored:
        return False
    filer.store_as(entry, last.stored + 1)
    return True


def _timed(response: bytes, last: Version) -> bytes:
    """What the other filer says of an object, with a time later than `last`'s unless it is that:
    the stream may be behind that filer, and is never ahead."""
    answer = filer_messages.LookupDirectoryEntryResponse.FromString(response)
    if filer.content(answer.entry) == last:
        filer.store_as(answer.entry, last.stored)
    else:
        _make_later(answer.entry, last)
    passed: bytes = answer.SerializeToString()
    return passed


def _forget(remembered: OrderedDict[str, Any]) -> None:
    """What has been remembered longest, where that is much."""
    while len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)


def _take_out(event: Any) -> None:
    """An event without entries is a mark of how far the stream has come."""
    event.ClearField("old_entry")
    event.ClearField("new_entry")
