"""Looking at folders and files, and downloading."""

from http import HTTPStatus
from typing import Any

import httpx

from quaderno.files import finding, further, pages, places, previews, problems, versions
from quaderno.files.handlers import Handler, usable
from quaderno.files.places import Area
from quaderno.files.problems import PageError
from quaderno.files.store import MOST_SEARCHED, MOST_SORTED, PAGE, Store

SHARE_TIMES = (300, 900, 1800, 3600, 6 * 3600)  # seconds on offer, where new keys live that long
# What a form has done; of an address made by others, no other words are told.
NOTICES = {
    "deleted": "Deleted:",
    "restored": "It is again as it was:",
    "undone": "Files brought back:",
    "moved": "Moved:",
    "copied": "Copied:",
    "published": "Everybody can read it now:",
}
_LONGEST_SEARCH = 200  # characters
_LINK_LIFE = 300  # seconds to begin a download
_PASSED_ON = ("Content-Length", "Content-Range", "Accept-Ranges", "ETag", "Last-Modified")
_ASKED_ON = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")


class FolderHandler(Handler):
    """`GET ?area=A&prefix=P&sort=S&after=T`: a page of a folder."""

    async def get(self) -> None:
        area, prefix = self.folder()
        sort, after = finding.usable_sort(self.get_argument("sort", "")), self.text("after")
        store = await self.store()
        listing = await self.ask(_listing, store, area, prefix, sort, after)
        self.page(
            "folder.html",
            **self.around(area, prefix),
            listing=listing,
            sort=sort,
            after=after,
            most_sorted=MOST_SORTED,
            direct=self.site.config.files.direct,
            done=NOTICES.get(self.get_argument("done", ""), ""),
            name=self.text("name"),
            undo=self.undo(),
        )

    def undo(self) -> tuple[str, str] | None:
        """From when to when something was deleted that can be brought back, in Unix time."""
        since, until = self.get_argument("since", ""), self.get_argument("until", "")
        return (since, until) if since.isdigit() and until.isdigit() else None

    def folder(self) -> tuple[Area, str]:
        """The area and the folder of this request; raises PageError."""
        area, prefix = self.area(self.get_argument("area", "home")), self.text("prefix")
        if prefix and not usable(prefix).endswith("/"):
            raise PageError(HTTPStatus.BAD_REQUEST, "The address of a folder ends in a slash.")
        return area, prefix

    def around(self, area: Area, prefix: str) -> dict[str, Any]:
        """What pages that list something have in common."""
        return {
            "area": area,
            "areas": self.areas.values(),
            "prefix": prefix,
            "crumbs": places.crumbs(area, prefix),
            "writable": area.writable(prefix),
            "wanted": "",
        }


class SearchHandler(FolderHandler):
    """`GET ?area=A&prefix=P&wanted=W&after=K`: what is below a folder and has W in its name."""

    async def get(self) -> None:
        area, prefix = self.folder()
        wanted, after = self.text("wanted").strip()[:_LONGEST_SEARCH], self.text("after")
        if not wanted:
            return self.redirect(pages.link("", area=area.name, prefix=prefix))
        store = await self.store()
        listing = await self.ask(store.search, area.bucket, prefix, wanted, after)
        return self.page(
            "search.html",
            **self.around(area, prefix) | {"wanted": wanted},
            listing=listing,
            most=MOST_SEARCHED,
        )


def _listing(store: Store, area: Area, prefix: str, sort: str, after: str) -> places.Listing:
    """In the store's order, in which it gives pages, or sorted: then `after` counts entries."""
    if sort in ("", "name") or not (after.isascii() and (after.isdigit() or not after)):
        look = store.look if area.name == "home" else store.list
        return look(area.bucket, prefix, after)
    whole = store.list_all(area.bucket, prefix)
    start = int(after[:9] or 0)
    entries = finding.arranged(whole.entries, sort)[start : start + PAGE]
    more = str(start + PAGE) if start + PAGE < len(whole.entries) else ""
    return places.Listing(entries, more, complete=not whole.more)


class UsageHandler(Handler):
    """`GET ?area=A`: {quota}, as the hub's storage API has it; for the page's script."""

    json_only = True

    async def get(self) -> None:
        area = self.area(self.get_argument("area", "home"))
        if area.path:
            token = str(self.hub_auth.get_token(self))
            self.finish({"quota": await self.site.credentials.quota(self.person, token)})
        else:
            store = await self.store()
            limit = self.site.config.store.further_quota
            self.finish({"quota": await self.ask(further.usage, store, area.bucket, limit)})


class ItemHandler(Handler):
    """`GET ?area=A&key=K`: what can be done with a file or a folder."""

    async def get(self) -> None:
        area, key = self.place()
        store = await self.store()
        entry = None
        if not key.endswith("/"):
            entry = await self.ask(store.show, area.bucket, key)
        has_versions = await self.ask(_has_versions, store, area, entry)
        about = self.about(area, key, store, entry)
        self.page("item.html", **about | {"has_versions": has_versions})

    def about(
        self, area: Area, key: str, store: Store, entry: places.Entry | None
    ) -> dict[str, Any]:
        """What the page needs to know of a file, or of a folder, which has no entry."""
        return {
            "entry": entry,
            "preview": previews.way(entry) if entry else "",
            "area": area,
            "areas": self.areas.values(),
            "key": key,
            "folder": places.folder_of(key),
            "crumbs": places.crumbs(area, places.folder_of(key)),
            "is_folder": key.endswith("/"),
            "writable": area.writable(key),
            "most": store.keys.longest(),
            "times": [t for t in SHARE_TIMES if t <= store.keys.longest()],
            "shared": None,
            "has_versions": False,
        }


def _has_versions(store: Store, area: Area, entry: places.Entry | None) -> bool:
    """Whether the store keeps versions of this file, or could."""
    mine = area.own == ""  # elsewhere they are not theirs to keep
    return mine and entry is not None and versions.keeping(store, area.bucket) is not None


class DownloadHandler(Handler):
    """`GET ?area=A&key=K&version=V`: to the store, or through here if browsers do not reach it."""

    async def get(self) -> None:
        area, key = self.place()
        version = self.text("version")
        store = await self.store()
        await self.ask(store.show, area.bucket, key, version)  # its errors are our sentences
        address = store.link(area.bucket, key, self.link_life(store), version)
        if self.site.config.files.direct:
            self.redirect(address)
        else:
            await self.pass_on(address)

    def link_life(self, store: Store) -> int:
        """Seconds in which a download has to begin."""
        return min(_LINK_LIFE, int(store.keys.left()))

    def key(self) -> str:
        """Of the object."""
        return self.text("key")

    async def pass_on(self, address: str) -> None:
        """As the browser reads, so the store is read: nothing piles up here."""
        asked = {h: self.request.headers[h] for h in _ASKED_ON if h in self.request.headers}
        asked["Accept-Encoding"] = "identity"
        try:
            async with self.streams.stream("GET", address, headers=asked) as answer:
                self.head(answer)
                async for chunk in answer.aiter_raw(1 << 20):
                    self.write(chunk)
                    await self.flush()
        except httpx.PoolTimeout as error:
            raise problems.busy() from error
        except httpx.HTTPError as error:
            raise problems.store_away() from error

    @property
    def streams(self) -> httpx.AsyncClient:
        """By which the store is asked."""
        return self.site.streams

    def head(self, answer: httpx.Response) -> None:
        """What comes before the content."""
        if answer.status_code >= 500:
            raise problems.store_away()
        self.set_status(answer.status_code)
        for name in _PASSED_ON:
            if name in answer.headers:
                self.set_header(name, answer.headers[name])
        self.name_it()

    def name_it(self) -> None:
        """So that browsers save it."""
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", places.disposition(self.key()))
