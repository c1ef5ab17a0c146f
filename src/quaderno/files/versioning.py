"""Versions of files, where the store keeps them."""

from datetime import UTC, datetime
from http import HTTPStatus

from quaderno.files import pages, places, versions
from quaderno.files.changing import FormHandler
from quaderno.files.handlers import Handler, usable
from quaderno.files.problems import PageError

_LONGEST_UNDO = 3600  # seconds that one deletion may have taken


class VersionsHandler(Handler):
    """`GET ?area=A&key=K`: the versions of a file, and the switch of its bucket."""

    async def get(self) -> None:
        area, key = self.place()
        store = await self.store()
        keeping = await self.ask(versions.keeping, store, area.bucket)
        if keeping is None or key.endswith("/"):
            raise PageError(HTTPStatus.NOT_FOUND, "The store keeps no versions of this.")
        found = await self.ask(versions.of, store, area.bucket, key) if keeping.ever else []
        folder = places.folder_of(key)
        self.page(
            "versions.html",
            area=area,
            areas=self.areas.values(),
            crumbs=places.crumbs(area, folder),
            key=key,
            keeping=keeping,
            versions=found,
            writable=area.writable(key),
            most=versions.MOST_SHOWN,
        )


class KeepHandler(FormHandler):
    """`POST area, key, keep`: whether the versions of all files of the bucket are kept."""

    async def post(self) -> None:
        area, key = self.place()
        store = await self.store()
        on = self.get_argument("keep", "") == "yes"
        await self.ask(versions.keep, store, area.bucket, on)
        address = pages.link("versions", area=area.name, key=key)
        self.redirect(address, status=HTTPStatus.SEE_OTHER)


class RestoreHandler(FormHandler):
    """`POST area, key, version`: a copy of a version becomes the latest one."""

    async def post(self) -> None:
        area, key = self.place()
        store = await self.store()
        await self.ask(versions.restore, store, area.bucket, key, self.text("version"))
        self.back(area, places.folder_of(key), "restored", places.name_of(key))


class UndoHandler(FormHandler):
    """`POST area, prefix, since, until`: brings back what was deleted there in that time."""

    async def post(self) -> None:
        area, prefix = self.area(self.get_argument("area")), self.text("prefix")
        if prefix:
            usable(prefix)
        since, until = self._time("since"), self._time("until")
        if not 0 <= (until - since).total_seconds() <= _LONGEST_UNDO:
            raise PageError(HTTPStatus.BAD_REQUEST, "No deletion took that long.")
        store = await self.store()
        count = await self.ask(versions.undelete, store, area.bucket, prefix, since, until)
        self.back(area, prefix, "undone", f"{count:,}")

    def _time(self, name: str) -> datetime:
        """In seconds of Unix time."""
        text = self.get_argument(name, "")
        if not (text.isascii() and text.isdigit() and len(text) < 12):
            raise PageError(HTTPStatus.BAD_REQUEST, "Say what is to be brought back.")
        return datetime.fromtimestamp(int(text), UTC)
