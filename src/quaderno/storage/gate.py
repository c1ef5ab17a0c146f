"""Stands between `filer.sync` and the other site's filer, and sees each change before it is made.

SeaweedFS applies a change of the other site to whatever is here: it overwrites or removes what was
written here meanwhile, and may even mix both. So the stream of changes goes through this program,
which compares each with what is here (`conflicts`). What a change would replace is copied beside
it first; what must not be done is taken out of the stream. All else that `filer.sync` asks of the
other filer is passed on as it is.

Between the look and the change some milliseconds pass, in which a write here is not seen: of two
writes of one object in the same moment the later one stays, as in any one store.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio
import httpx

from quaderno.config import Config
from quaderno.storage import conflicts, filer_messages, leases
from quaderno.storage.conflicts import Fate, Version

LOG = logging.getLogger("quaderno.replication")
AGAIN_AFTER = 1.0  # seconds, while the store here does not answer
EMPTY_WITHIN = 5.0  # seconds until a directory is empty whose files are being removed
_LOOK_EVERY = 0.1  # seconds
_REMEMBERED = 10_000  # paths; far more than `filer.sync` has on its way
_VERSIONS = 32  # of one path, that are remembered
_CHANGES = f"{filer_messages.SERVICE}/SubscribeMetadata"
_OPTIONS = [
    ("grpc.max_receive_message_length", 1 << 30),  # as SeaweedFS's own
    ("grpc.max_send_message_length", 1 << 30),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 60_000),  # SeaweedFS takes more frequent ones for an attack
    ("grpc.enable_http_proxy", 0),
]
_SECOND = 10**9  # nanoseconds
_ORDER = f"x-amz-meta-{leases.ORDER}"  # as S3 says, in small letters
# After the time with which an object is stored, when it was written. SeaweedFS shows nobody what
# is called so.
_WRITTEN = "x-seaweedfs-quaderno-written"
_CLOSED = HTTPStatus.INSUFFICIENT_STORAGE  # a bucket whose quota is used up
_UNKNOWN = "no entry is found"  # in what a filer says of a path where nothing is


class Gate:
    """Open inside the event loop; `port` is where `filer.sync` finds the other site's filer."""

    def __init__(self, config: Config) -> None:
        self.port = 0
        self._config = config
        self._store = Store(config)
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((_Handlers(self),))

    async def open(self) -> None:
        """Serve, at a port of loopback that is free."""
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def changes(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """The other site's, as they may be applied here."""
        here = filer_messages.SubscribeMetadataRequest.FromString(request).signature
        judging = Judge(self._config, self._store, here)
        async for response in self._ask(_CHANGES, request, context):
            yield await judging.pass_on(response)

    async def others(
        self, method: str, requests: AsyncIterator[bytes], context: Any
    ) -> AsyncIterator[bytes]:
        """Whatever else is asked, with one answer or many."""
        async for request in requests:
            async for response in self._ask(method, request, context):
                yield response

    async def _ask(self, method: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """The other filer, each time anew: a connection from before the way to it was open would
        stay with the director for ever."""
        address = f"127.0.0.1:{self._config.ports.peer_filer_grpc}"
        async with grpc.aio.insecure_channel(address, _OPTIONS) as channel:
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

    def __init__(self, config: Config, store: "Store", here: int) -> None:
        self._config, self._store, self._here = config, store, here
        self._seen: OrderedDict[str, list[Version]] = OrderedDict()
        self._removed: OrderedDict[str, None] = OrderedDict()  # directories, soon

    async def pass_on(self, response: bytes) -> bytes:
        """The same, without what must not be applied; it may be a batch."""
        message = filer_messages.SubscribeMetadataResponse.FromString(response)
        touched = [await self._judge(each) for each in (message, *message.events)]
        passed: bytes = message.SerializeToString() if any(touched) else response
        return passed

    async def _judge(self, change: Any) -> bool:
        """Whether `change` is another one now."""
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
        return await self._decide(event, path, _version(base), _version(new))

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
        if file is None or file.is_directory or _content(file) in self._seen.get(target, ()):
            return True
        return await self._store.give_way(target, _content(file))

    async def _decide(
        self, event: Any, path: str, base: Version | None, new: Version | None
    ) -> bool:
        there = await self._store.entry(path)
        is_directory = there is not None and there.is_directory and path not in self._removed
        here = None if there is None or there.is_directory else _content(there)
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


class Store:
    """This site's filer. Each method goes on trying until it answers."""

    def __init__(self, config: Config) -> None:
        self._config, ports = config, config.ports
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{ports.store_filer}", timeout=600, trust_env=False
        )
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{ports.store_filer_grpc}", _OPTIONS)
        self._lookup = channel.unary_unary(
            f"{filer_messages.SERVICE}/LookupDirectoryEntry",
            request_serializer=filer_messages.LookupDirectoryEntryRequest.SerializeToString,
            response_deserializer=filer_messages.LookupDirectoryEntryResponse.FromString,
        )
        self._delete = channel.unary_unary(
            f"{filer_messages.SERVICE}/DeleteEntry",
            request_serializer=filer_messages.DeleteEntryRequest.SerializeToString,
            response_deserializer=filer_messages.DeleteEntryResponse.FromString,
        )
        self._update = channel.unary_unary(
            f"{filer_messages.SERVICE}/UpdateEntry",
            request_serializer=filer_messages.UpdateEntryRequest.SerializeToString,
            response_deserializer=filer_messages.UpdateEntryResponse.FromString,
        )
        self._list = channel.unary_stream(
            f"{filer_messages.SERVICE}/ListEntries",
            request_serializer=filer_messages.ListEntriesRequest.SerializeToString,
            response_deserializer=filer_messages.ListEntriesResponse.FromString,
        )

    async def version(self, path: str) -> Version | None:
        """Of what is at `path`; None when there is nothing."""
        return _version(await self.entry(path))

    async def entry(self, path: str) -> Any | None:
        """What is at `path`; None when there is nothing."""
        where = PurePosixPath(path)
        request = filer_messages.LookupDirectoryEntryRequest(
            directory=str(where.parent), name=where.name
        )
        while True:
            try:
                return (await self._lookup(request)).entry
            except grpc.aio.AioRpcError as error:
                if _UNKNOWN in (error.details() or ""):
                    return None
                LOG.warning("%s cannot be looked at: %s", path, error.details())
            await asyncio.sleep(AGAIN_AFTER)

    async def make_earlier(
        self, path: str, here: Version, new: Version, signatures: Iterable[int]
    ) -> None:
        """Have SeaweedFS replace what is `here` by what is `new`.

        It is still what it was, and known by when it was written. With the `signatures` of the
        change that comes, this is none for the other site.
        """
        where = PurePosixPath(path)
        request = filer_messages.LookupDirectoryEntryRequest(
            directory=str(where.parent), name=where.name
        )
        try:
            entry = (await self._lookup(request)).entry
            if _content(entry) != here:
                return  # somebody has just changed it
            _store_as(entry, new.stored - 1)
            update = filer_messages.UpdateEntryRequest(
                directory=str(where.parent), entry=entry, is_from_other_cluster=True
            )
            update.signatures.extend(signatures)
            await self._update(update)
        except grpc.aio.AioRpcError as error:
            LOG.warning("%s keeps its time: %s", path, error.details())

    async def is_emptied(self, directory: str) -> bool:
        """Whether there is nothing in it, or soon: removals of its files may be on their way."""
        deadline = asyncio.get_running_loop().time() + EMPTY_WITHIN
        while await self._has_entries(directory):
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_LOOK_EVERY)
        return True

    async def _has_entries(self, directory: str) -> bool:
        request = filer_messages.ListEntriesRequest(directory=directory, limit=1)
        try:
            async for _ in self._list(request):
                return True
        except grpc.aio.AioRpcError as error:
            if _UNKNOWN not in (error.details() or ""):
                LOG.warning("%s cannot be listed: %s", directory, error.details())
                return True
        return False

    async def keep(self, path: str, version: Version) -> bool:
        """Copy what is at `path` beside it, for its owner; False when the store will not have it.

        Done again after an interruption, it makes no second copy.
        """
        where, again = PurePosixPath(path), 1
        while True:
            site = self._config.sites.name or ""
            name = conflicts.copy_name(where.name, site, version.written, again)
            copy = str(where.parent / name)
            there = await self.version(copy)
            if there is None:
                done = await self._post(copy, {"cp.from": path})
            elif (there.size, there.md5) == (version.size, version.md5):
                done = True
            else:
                again += 1
                continue
            if done:
                LOG.warning("%s has changed at both sites: this site's is %s now", path, name)
                note = conflicts.marker(copy, self._config.store.scratch_bucket)
                await self._post(note, {})
            return done

    async def give_way(self, path: str, version: Version) -> bool:
        """Keep the file at `path` beside it, where the other site has a directory; False when the
        store will not have it."""
        if not await self.keep(path, version):
            return False
        where = PurePosixPath(path)
        request = filer_messages.DeleteEntryRequest(
            directory=str(where.parent), name=where.name, is_delete_data=True
        )
        try:
            await self._delete(request)
        except grpc.aio.AioRpcError as error:
            LOG.warning("%s cannot be removed: %s", path, error.details())
        return True

    async def _post(self, path: str, query: dict[str, str]) -> bool:
        """Whether the store has taken it; until it answers, it is tried again."""
        while True:
            try:
                answer = await self._http.put(quote(path), params=query)
            except httpx.HTTPError as error:
                LOG.warning("%s cannot be written: %r", path, error)
            else:
                if answer.is_success:
                    return True
                LOG.error("%s is refused: HTTP %s %s", path, answer.status_code, answer.text)
                if answer.is_client_error or answer.status_code == _CLOSED:
                    return False
            await asyncio.sleep(AGAIN_AFTER)


def _version(entry: Any) -> Version | None:
    return None if entry is None else _content(entry)


def _content(entry: Any) -> Version:
    attributes = entry.attributes
    stored = attributes.mtime * _SECOND + attributes.mtime_ns
    extended = {each.key.lower(): each.value.decode(errors="replace") for each in entry.extended}
    at, _, written = extended.get(_WRITTEN, "").partition(" ")
    if at != str(stored):
        written = str(stored)  # it was written since
    order = extended.get(_ORDER, "")
    return Version(int(written), attributes.file_size, attributes.md5, order, stored)


def _store_as(entry: Any, stored: int) -> None:
    """Give `entry` another time, and keep when it was written beside that."""
    written = _content(entry).written
    entry.attributes.mtime, entry.attributes.mtime_ns = divmod(stored, _SECOND)
    kept = [each for each in entry.extended if each.key != _WRITTEN]
    del entry.extended[:]
    entry.extended.extend(kept)
    entry.extended.add(key=_WRITTEN, value=f"{stored} {written}".encode())


def _forget(remembered: OrderedDict[str, Any]) -> None:
    """What has been remembered longest, where that is much."""
    while len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)


def _take_out(event: Any) -> None:
    """An event without entries is a mark of how far the stream has come."""
    event.ClearField("old_entry")
    event.ClearField("new_entry")
