"""Changing what is in the store, by plain forms: each answers with the folder that it leads to."""

from datetime import datetime
from http import HTTPStatus

from quaderno.files import pages, places, versions
from quaderno.files.handlers import Handler, usable
from quaderno.files.places import Area
from quaderno.files.problems import PageError


class FormHandler(Handler):
    """A form; looking at its address leads to the files."""

    async def get(self) -> None:
        self.redirect(pages.link(""))

    def back(self, area: Area, prefix: str, done: str = "", name: str = "", **more: str) -> None:
        """To the folder `prefix`, which tells what was `done` to what is named."""
        address = pages.link("", area=area.name, prefix=prefix, done=done, name=name, **more)
        self.redirect(address, status=HTTPStatus.SEE_OTHER)

    def new_key(self, folder: str, name: str, slash: str) -> str:
        """The key of something new; raises PageError where `name` cannot be one."""
        key = folder + name.strip("/") + slash
        problem = "Give it a name." if not name.strip("/ ") else places.new_key_problem(key)
        if problem:
            raise PageError(HTTPStatus.BAD_REQUEST, problem)
        return key


class NewFolderHandler(FormHandler):
    """`POST area, prefix, name`"""

    async def post(self) -> None:
        area = self.area(self.get_argument("area"))
        prefix = self.text("prefix")
        key = self.new_key(prefix, self.text("name"), "/")
        store = await self.store()
        await self.ask(store.make_folder, area.bucket, key)
        self.back(area, key)


class DeleteHandler(FormHandler):
    """`POST area, key (one or more)`: asks, and with `sure` deletes."""

    async def post(self) -> None:
        area = self.area(self.get_argument("area"))
        keys = [usable(key) for key in self.texts("key")]
        if not keys:
            raise PageError(HTTPStatus.BAD_REQUEST, "Nothing was chosen.")
        folder = places.folder_of(keys[0])
        store = await self.store()
        keeping = await self.ask(versions.keeping, store, area.bucket)
        undoable = keeping is not None and keeping.now
        if not self.get_argument("sure", ""):
            return self.page("delete.html", area=area, areas=self.areas.values(), keys=keys,
                             crumbs=places.crumbs(area, folder), folder=folder,
                             undoable=undoable)  # fmt: skip
        for key in keys:
            await self.ask(store.delete, area.bucket, key)
        after = await self.ask(versions.keeping, store, area.bucket) if undoable else None
        times = {}
        if keeping and after:
            times = {"since": _unix(keeping.at), "until": _unix(after.at)}
        return self.back(area, folder, "deleted", _names(keys), **times)


def _unix(time: datetime) -> str:
    return str(int(time.timestamp()))


class TransferHandler(FormHandler):
    """`POST area, key, to, name, how`: copy or move to the folder `to`; nothing is replaced."""

    async def post(self) -> None:
        area, key = self.place()
        slash = "/" if key.endswith("/") else ""
        folder = self.text("to").strip("/")
        to = self.new_key(f"{folder}/" if folder else "", self.text("name"), slash)
        if slash and to.startswith(key):
            raise PageError(HTTPStatus.BAD_REQUEST, "A folder cannot be put into itself.")
        store = await self.store()
        if await self.ask(store.exists, area.bucket, to):
            raise PageError(
                HTTPStatus.CONFLICT,
                f"There is a “{places.name_of(to)}” already: choose another name. "
                "Nothing was changed.",
            )
        moves = self.get_argument("how", "copy") == "move"
        await self.ask(store.move if moves else store.copy, area.bucket, key, area.bucket, to)
        done = "moved" if moves else "copied"
        self.back(area, places.folder_of(to), done, places.name_of(to))


class PublishHandler(FormHandler):
    """`POST area, key`: a copy in the person's part of scratch, where everybody reads it."""

    async def post(self) -> None:
        area, key = self.place()
        scratch = self.area("scratch")
        slash = "/" if key.endswith("/") else ""
        store = await self.store()
        wanted = scratch.own + places.name_of(key) + slash
        to = await self.ask(
            places.free_name, wanted, lambda name: store.exists(scratch.bucket, name)
        )
        await self.ask(store.copy, area.bucket, key, scratch.bucket, to)
        self.back(scratch, scratch.own, "published", places.name_of(to))


def _names(keys: list[str]) -> str:
    """The first of them, and how many more."""
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return places.name_of(keys[0]) + more
