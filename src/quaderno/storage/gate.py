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

A bucket whose quota is used up takes nothing. What comes for it is taken out of the stream and
`owed`; when the bucket takes files again, it comes into the stream as the other site has it then.

Between the look and the change some milliseconds pass, in which a write here is not seen: of two
writes of one object in the same moment the later one stays, as in any one store.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any, NamedTuple

import grpc
import grpc.aio

from quaderno.config import Config
from quaderno.storage import filer, filer_messages, owed
from quaderno.storage.conflicts import Version
from quaderno.storage.filer import OPTIONS, GivenUpError, Store
from quaderno.storage.judge import Judge, make_later
from quaderno.storage.owed import Owed

LOG = logging.getLogger("quaderno.replication")
_LOOK_EVERY = 2.0  # seconds, which buckets are closed, and at what is owed to the others
_LOOKED_WITHIN = 10.0  # seconds, which buckets are closed, before changes come
_BRING_AGAIN_AFTER = 600.0  # seconds, what has been brought and is not here
_CHANGES = f"{filer_messages.SERVICE}/SubscribeMetadata"
_LOOKUP = f"{filer_messages.SERVICE}/LookupDirectoryEntry"


class Gate:
    """Open inside the event loop; `port` is where `filer.sync` finds the other site's filer."""

    def __init__(self, config: Config) -> None:
        self.port = 0
        self.owed = Owed(owed.path(config))
        self._peer = f"127.0.0.1:{config.ports.peer_filer_grpc}"
        self._store = Store(config)
        self._judge = Judge(self._store, self.owed)
        self._knows_closed = asyncio.Event()
        self._server = grpc.aio.server(options=OPTIONS)
        self._server.add_generic_rpc_handlers((_Handlers(self),))

    async def open(self) -> None:
        """Serve, at a port of loopback that is free."""
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def watch(self) -> None:
        """Which buckets are closed, for ever."""
        while True:
            closed = await self._store.closed()
            if closed is not None:
                let_through = self._judge.close(closed)
                self._knows_closed.set()
                for path, known in let_through.items():
                    await self._judge.check(path, known)
            await asyncio.sleep(_LOOK_EVERY)

    async def changes(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """The other site's, as they may be applied here, and what is owed."""
        asked = filer_messages.SubscribeMetadataRequest.FromString(request)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._knows_closed.wait(), _LOOKED_WITHIN)
        self._judge.here = asked.signature
        until: int = asked.since_ns
        streams = self._ask(_CHANGES, request, context), self._due()
        async with aclosing(_merged(*streams)) as merged:
            async for each in merged:
                if isinstance(each, bytes):
                    message = filer_messages.SubscribeMetadataResponse.FromString(each)
                    until = max(until, _reached(message))
                    yield message.SerializeToString() if await self._judge.judge(message) else each
                elif (change := await _creation(each)) is not None:
                    # Not as new as it is: `filer.sync` would go on from there, were it interrupted.
                    until += 1
                    change.ts_ns = until
                    await self._judge.judge(change)
                    if change.event_notification.HasField("new_entry"):
                        yield change.SerializeToString()

    async def _due(self) -> AsyncGenerator["_Due", None]:
        """What is owed to buckets that take files, for ever."""
        brought: dict[str, float] = {}
        while True:
            paths = self.owed.outside(self._judge.closed)
            late = time.monotonic() - _BRING_AGAIN_AFTER
            brought = {path: brought[path] for path in paths if brought.get(path, late) > late}
            try:
                if paths:
                    async with grpc.aio.insecure_channel(self._peer, OPTIONS) as channel:
                        peer = filer.Peer(channel)
                        signature = await peer.signature()
                        for path in paths:
                            if await self._is_missing(path, peer) and path not in brought:
                                brought[path] = time.monotonic()
                                yield _Due(path, peer, signature)
            except grpc.aio.AioRpcError as error:
                LOG.info("The other site does not say what it has: %s", error.details())
            await asyncio.sleep(_LOOK_EVERY)

    async def _is_missing(self, path: str, peer: filer.Peer) -> bool:
        """Whether what is owed is to be brought. Where it is here, it is owed no more."""
        known = self.owed.known(path)
        theirs = await peer.entry(path)
        try:
            is_here = filer.is_same(theirs, await self._store.entry(path))
        except GivenUpError:
            is_here = True
        if is_here and self.owed.known(path) is known:  # else another change has come meanwhile
            self.owed.settle(path)
        return not is_here and theirs is not None  # else its removal will come

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
        return self._judge.last(path)

    async def _ask(self, method: str, request: bytes, context: Any) -> AsyncGenerator[bytes, None]:
        """The other filer, each time anew: a connection from before the way to it was open would
        stay with the director for ever."""
        async with grpc.aio.insecure_channel(self._peer, OPTIONS) as channel:
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


class _Due(NamedTuple):
    """What is owed at `path`; `signature` is the other filer's, which can be asked until the next
    is asked for."""

    path: str
    peer: filer.Peer
    signature: int


async def _merged(*streams: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """What any of them brings, in the order in which it comes, until one ends. None goes on before
    what it has brought is done with; all are closed in the end."""
    asked: dict[asyncio.Task[Any], AsyncGenerator[Any, None]] = {}
    try:
        for stream in streams:
            asked[asyncio.ensure_future(anext(stream))] = stream
        while True:
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                stream = asked.pop(task)
                try:
                    found = task.result()
                except StopAsyncIteration:
                    return
                yield found
                asked[asyncio.ensure_future(anext(stream))] = stream
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        for stream in streams:
            await stream.aclose()


def _reached(message: Any) -> int:
    """How far the stream has come with this. A message without an event, which may be ahead of
    changes that are on their way, does not tell."""
    changes = (message, *message.events)
    times = [each.ts_ns for each in changes if each.HasField("event_notification")]
    return max(times, default=0)


async def _creation(due: _Due) -> Any | None:
    """The change that makes what is owed, as the other filer would tell it; None where there is
    nothing now. It is asked at the last moment: of what the stream has brought before, all is in
    the answer, and what was there earlier would replace it."""
    try:
        entry = await due.peer.entry(due.path)
    except grpc.aio.AioRpcError as error:
        LOG.info("The other site does not say what is at %s: %s", due.path, error.details())
        return None
    if entry is None:
        return None
    directory = filer_messages.place(due.path)["directory"]
    event = filer_messages.EventNotification(
        new_entry=entry, new_parent_path=directory, signatures=[due.signature]
    )
    return filer_messages.SubscribeMetadataResponse(directory=directory, event_notification=event)


def _timed(response: bytes, last: Version) -> bytes:
    """What the other filer says of an object, with a time later than `last`'s unless it is that:
    the stream may be behind that filer, and is never ahead."""
    answer = filer_messages.LookupDirectoryEntryResponse.FromString(response)
    if filer.content(answer.entry) == last:
        filer.store_as(answer.entry, last.stored)
    else:
        make_later(answer.entry, last)
    passed: bytes = answer.SerializeToString()
    return passed
