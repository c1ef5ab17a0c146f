"""Previews: documents in a frame that is an origin of its own, where no script runs; images and PDF
files as such."""

from http import HTTPStatus
from typing import Any

from quaderno.files import pages, places, previews
from quaderno.files.browsing import DownloadHandler
from quaderno.files.handlers import Handler
from quaderno.files.places import Entry
from quaderno.files.problems import PageError
from quaderno.files.store import Store


class PreviewHandler(Handler):
    """`GET ?area=A&key=K`: text, a table, Markdown or a notebook, for the frame in the page."""

    in_page = True

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Security-Policy", self.settings["document_policy"])

    async def get(self) -> None:
        area, key = self.place()
        store = await self.store()
        entry = await self.ask(store.show, area.bucket, key)
        self.document(**await self.ask(_document, store, area.bucket, entry))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """In the frame."""
        self.document(problem=self.sentence(status_code, kwargs))

    def document(self, **shown: Any) -> None:
        """Answer with what is in the frame."""
        self.page("preview.html", **shown)


def _document(store: Store, bucket: str, entry: Entry) -> dict[str, Any]:
    """What the frame shows of `entry`; raises PageError."""
    way = previews.way(entry)
    if way not in ("text", "table", "markdown", "notebook"):
        raise PageError(HTTPStatus.BAD_REQUEST, "There is no preview of this file.")
    content = store.begin(bucket, entry.key, previews.MOST.get(way, previews.READ))
    cut = (entry.size or 0) > len(content)
    try:
        if way == "notebook":
            return {"cells": previews.notebook(content)}
        if way == "markdown":
            return {"html": previews.markdown(previews.text(content, cut))}
        if way == "table":
            tabs = previews.ending(entry.key) == "tsv"
            return {"table": previews.table(content, cut, tabs)}
        return {"text": previews.text(content, cut), "cut": cut}
    except previews.UnreadableError as error:
        return {"problem": str(error)}


class RawHandler(DownloadHandler):
    """`GET ?area=A&key=K`: an image, a PDF file, or bytes of a Parquet file; nothing that would be
    a document of this origin."""

    in_page = True

    async def get(self) -> None:
        area, key = self.place()
        store = await self.store()
        entry = await self.ask(store.show, area.bucket, key)
        self.way = previews.way(entry)
        if self.way not in ("image", "pdf", "parquet"):
            raise PageError(HTTPStatus.BAD_REQUEST, "There is no preview of this file.")
        await self.pass_on(store.link(area.bucket, key, self.link_life(store)))

    def name_it(self) -> None:
        """For the page; scripts and styles of images do nothing."""
        kinds = previews.IMAGES | {"pdf": "application/pdf", "parquet": "application/octet-stream"}
        key = self.text("key")
        self.set_header("Content-Type", kinds[previews.ending(key)])
        attached = self.way == "parquet"
        self.set_header("Content-Disposition", places.disposition(key) if attached else "inline")
        self.set_header("Content-Security-Policy", pages.raw_policy(self.way))
