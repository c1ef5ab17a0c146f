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
from collections.abc import AsyncIterator
from typing import Any

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
                self._judge.close(closed)
            await asyncio.sleep(_LOOK_EVERY)

    async def changes(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """The other site's, as they may be applied here, and what is owed."""
        asked = filer_messages.SubscribeMetadataRequest.FromString(request)
        self._judge.here = asked.signature
        until: int = asked.since_ns
        async for each in _merged(self._ask(_CHANGES, request, context), self._due()):
            if isinstance(each, bytes):
                message = filer_messages.SubscribeMetadataResponse.FromString(each)
                until = max(until, message.ts_ns, *(event.ts_ns for event in message.events))
                yield message.SerializeToString() if await self._judge.judge(message) else each
            else:  # not as new as it is: `filer.sync` would go on from there, were it interrupted
                until += 1
                each.ts_ns = until
                await self._judge.judge(each)
                yield each.SerializeToString()

    async def _due(self) -> AsyncIterator[Any]:
        """What is owed to buckets that take files, as changes, for ever."""
        brought: dict[str, float] = {}
        while True:
            due = self.owed.outside(self._judge.closed)
            now = time.monotonic()
            late = now - _BRING_AGAIN_AFTER
            brought = {path: at for path, at in brought.items() if at > late and path in set(due)}
            try:
                async for path, change in self._owed_changes(due):
                    if path not in brought:
                        brought[path] = now
                        yield change
            except grpc.aio.AioRpcError as error:
                LOG.info("The other site does not say what it has: %s", error.details())
            await asyncio.sleep(_LOOK_EVERY)

    async def _owed_changes(self, due: list[str]) -> AsyncIterator[tuple[str, Any]]:
        """Of these paths, each that is not here yet, and the change that makes it."""
        if not due:
            return
        async with grpc.aio.insecure_channel(self._peer, OPTIONS) as channel:
            peer = filer.Peer(channel)
            signature = await peer.signature()
            for path in due:
                theirs = await peer.entry(path)
                try:
                    ours = await self._store.entry(path)
                except GivenUpError:
                    self.owed.settle(path)
                    continue
                if filer.is_same(theirs, ours):
                    self.owed.settle(path)
                elif theirs is not None:  # else its removal will come
                    yield path, _creation(path, theirs, signature)

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

    async def _ask(self, method: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
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


async def _merged(*streams: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """What any of them brings, in the order in which it comes, until one ends."""
    asked = {asyncio.ensure_future(anext(stream)): stream for stream in streams}
    try:
        while True:
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                stream = asked.pop(task)
                try:
                    found = task.result()
                except StopAsyncIteration:
                    return
                asked[asyncio.ensure_future(anext(stream))] = stream
                yield found
    finally:
        for task in asked:
            task.cancel()


def _creation(path: str, entry: Any, signature: int) -> Any:
    """The change that makes `entry` at `path`, as the filer with this signature would tell it."""
    directory = filer_messages.place(path)["directory"]
    event = filer_messages.EventNotification(
        new_entry=entry, new_parent_path=directory, signatures=[signature]
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
