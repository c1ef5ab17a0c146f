"""A folder's download. What fails on the way ends it visibly: it is shorter than it said."""

import asyncio
from collections.abc import Iterator
from http import HTTPStatus

from quaderno.files import places, zips
from quaderno.files.browsing import FolderHandler
from quaderno.files.places import Area, Entry
from quaderno.files.problems import PageError

MOST_ZIPPED = 20_000  # files: their names are kept in memory meanwhile
_PATIENCE = 30  # seconds for keys that must be renewed on the way


class ZipHandler(FolderHandler):
    """`GET ?area=A&prefix=P`: the folder with all that is in it, as one zip file."""

    async def get(self) -> None:
        area, prefix = self.folder()
        store = await self.store()
        entries = await self.ask(store.first_below, area.bucket, prefix, MOST_ZIPPED + 1)
        if not entries:
            raise PageError(HTTPStatus.NOT_FOUND, "Nothing is in this folder any more.")
        if len(entries) > MOST_ZIPPED:
            raise PageError(
                HTTPStatus.BAD_REQUEST,
                f"The folder holds more than {MOST_ZIPPED:,} files: download the folders in it, or "
                "use an S3 program.",
            )
        loop = asyncio.get_running_loop()
        archive = await self.ask(
            zips.archive, entries, prefix, lambda entry: self._read(loop, area, entry)
        )
        self.set_header("Content-Type", "application/zip")
        self.set_header("Content-Length", str(len(archive)))
        name = places.name_of(prefix) if prefix else area.title
        self.set_header("Content-Disposition", places.disposition(f"{name}.zip"))
        chunks = iter(archive)
        while chunk := await self.ask(zips.some, chunks):
            self.write(chunk)
            await self.flush()  # no faster than the browser reads

    def _read(
        self, loop: asyncio.AbstractEventLoop, area: Area, entry: Entry
    ) -> Iterator[bytes]:  # in a thread
        """With keys that live now: the folder may take longer than those of its beginning."""
        store = asyncio.run_coroutine_threadsafe(self.store(), loop).result(_PATIENCE)
        yield from store.read(area.bucket, entry)
