"""This site's filer, as the gate asks it: what is at a path, and putting it aside.

A store that is away is waited for. One that answers, but never for one path, keeps nobody else
waiting: that path is given up after a while, and the operator told.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio
import httpx

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import conflicts, filer_messages, leases
from quaderno.storage.conflicts import Version

LOG = logging.getLogger("quaderno.replication")
AGAIN_AFTER = 1.0  # seconds, while the store does not answer
GIVEN_UP_AFTER = 10  # answers that are errors, while the store is well
EMPTY_WITHIN = 5.0  # seconds until a directory is empty whose files are being removed
_LOOK_EVERY = 0.1  # seconds
OPTIONS = [
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
_WITHIN = 5.0  # seconds, in which a store that is well answers
_PROBE = "/quaderno/probe"  # a file that is not replicated
_RULES = "/etc/seaweedfs/filer.conf"


class GivenUpError(StorageError):
    """The store is well, but never answers for one path."""


class Store:
    """This site's filer. Each method goes on trying until it answers, or raises GivenUpError."""

    def __init__(self, config: Config) -> None:
        self._config, ports = config, config.ports
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{ports.store_filer}", timeout=600, trust_env=False
        )
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{ports.store_filer_grpc}", OPTIONS)
        self._lookup = filer_messages.method(channel.unary_unary, "LookupDirectoryEntry")
        self._delete = filer_messages.method(channel.unary_unary, "DeleteEntry")
        self._update = filer_messages.method(channel.unary_unary, "UpdateEntry")
        self._list = filer_messages.method(channel.unary_stream, "ListEntries")

    async def version(self, path: str) -> Version | None:
        """Of what is at `path`; None when there is nothing."""
        return version(await self.entry(path))

    async def entry(self, path: str) -> Any | None:
        """What is at `path`; None when there is nothing."""
        errors = 0
        while True:
            try:
                return await _entry(self._lookup, path)
            except grpc.aio.AioRpcError as error:
                LOG.warning("%s cannot be looked at: %s", path, error.details())
            errors = await self._wait(path, errors)

    async def closed(self) -> frozenset[str] | None:
        """The buckets that take nothing now, because their quotas are used up; None when the store
        does not say."""
        try:
            answer = await self._http.get(_RULES, timeout=_WITHIN)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return frozenset()
            rules = answer.raise_for_status().json().get("locations") or ()
        except (httpx.HTTPError, ValueError) as error:
            LOG.warning("Which buckets are closed cannot be read: %r", error)
            return None
        return frozenset(
            conflicts.bucket(rule["locationPrefix"]) for rule in rules
            if rule.get("readOnly") and rule["locationPrefix"].startswith("/buckets/")
        )  # fmt: skip

    async def make_earlier(
        self, path: str, here: Version, new: Version, signatures: Iterable[int]
    ) -> None:
        """Have SeaweedFS replace what is `here` by what is `new`.

        It is still what it was, and known by when it was written. With the `signatures` of the
        change that comes, this is none for the other site.
        """
        request = filer_messages.LookupDirectoryEntryRequest(**filer_messages.place(path))
        try:
            entry = (await self._lookup(request)).entry
            if content(entry) != here:
                return  # somebody has just changed it
            store_as(entry, new.stored - 1)
            update = filer_messages.UpdateEntryRequest(
                directory=request.directory, entry=entry, is_from_other_cluster=True
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
                with contextlib.suppress(GivenUpError):
                    await self._post(note, {})
            return done

    async def give_way(self, path: str, version: Version) -> bool:
        """Keep the file at `path` beside it, where the other site has a directory; False when the
        store will not have it."""
        if not await self.keep(path, version):
            return False
        place = filer_messages.place(path)
        request = filer_messages.DeleteEntryRequest(**place, is_delete_data=True)
        try:
            await self._delete(request)
        except grpc.aio.AioRpcError as error:
            LOG.warning("%s cannot be removed: %s", path, error.details())
        return True

    async def _post(self, path: str, query: dict[str, str]) -> bool:
        """Whether the store has taken it; until it answers, it is tried again."""
        errors = 0
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
            errors = await self._wait(path, errors)

    async def _wait(self, path: str, errors: int) -> int:
        """For the next try after so many `errors`, which count while the store is well."""
        errors += await self._is_well()
        if errors >= GIVEN_UP_AFTER:
            LOG.error(
                "%s is given up: this site's store is well, but never answers for it. The other "
                "site's change of it is not made here; when logs/store.log has told you why, and "
                "that is mended, write it again at either site",
                path,
            )
            raise GivenUpError(f"The store never answers for {path}")
        await asyncio.sleep(AGAIN_AFTER)
        return errors

    async def _is_well(self) -> bool:
        """Whether it takes a file, and gives it back."""
        try:
            written = await self._http.put(_PROBE, content=b"?", timeout=_WITHIN)
            read = await self._http.get(_PROBE, timeout=_WITHIN)
        except httpx.HTTPError:
            return False
        return written.is_success and read.is_success


class Peer:
    """The other site's filer, by a channel that is open. Raises grpc.aio.AioRpcError where it does
    not answer."""

    def __init__(self, channel: Any) -> None:
        self._lookup = filer_messages.method(channel.unary_unary, "LookupDirectoryEntry")
        self._about = filer_messages.method(channel.unary_unary, "GetFilerConfiguration")

    async def signature(self) -> int:
        """By which changes that were made there are known."""
        return int((await self._about(filer_messages.GetFilerConfigurationRequest())).signature)

    async def entry(self, path: str) -> Any | None:
        """What is at `path`; None when there is nothing."""
        return await _entry(self._lookup, path)


async def _entry(lookup: Any, path: str) -> Any | None:
    request = filer_messages.LookupDirectoryEntryRequest(**filer_messages.place(path))
    try:
        return (await lookup(request)).entry
    except grpc.aio.AioRpcError as error:
        if _UNKNOWN in (error.details() or ""):
            return None
        raise


def is_same(one: Any | None, other: Any | None) -> bool:
    """Whether two entries, of two sites, are of one version, or both of directories."""
    if one is None or other is None or one.is_directory or other.is_directory:
        return getattr(one, "is_directory", None) == getattr(other, "is_directory", None)
    return content(one) == content(other)


def version(entry: Any) -> Version | None:
    return None if entry is None else content(entry)


def content(entry: Any) -> Version:
    attributes = entry.attributes
    stored = attributes.mtime * _SECOND + attributes.mtime_ns
    extended = {each.key.lower(): each.value.decode(errors="replace") for each in entry.extended}
    at, _, written = extended.get(_WRITTEN, "").partition(" ")
    if at != str(stored):
        written = str(stored)  # it was written since
    order = extended.get(_ORDER, "")
    return Version(int(written), attributes.file_size, attributes.md5, order, stored)


def store_as(entry: Any, stored: int) -> None:
    """Give `entry` another time, and keep when it was written beside that."""
    written = content(entry).written
    entry.attributes.mtime, entry.attributes.mtime_ns = divmod(stored, _SECOND)
    kept = [each for each in entry.extended if each.key != _WRITTEN]
    del entry.extended[:]
    entry.extended.extend(kept)
    entry.extended.add(key=_WRITTEN, value=f"{stored} {written}".encode())
