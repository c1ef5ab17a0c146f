"""Links to share: making, listing and taking them back; and what whoever has one gets."""

from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus

import httpx

from quaderno.files import links, pages, problems
from quaderno.files.browsing import DownloadHandler, ItemHandler
from quaderno.files.changing import FormHandler
from quaderno.files.handlers import Handler
from quaderno.files.problems import PageError
from quaderno.files.store import whole_minutes

# Amazon's answer to keys that have ended is the first (S3 API, ExpiredToken).
_GONE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class _Sealing(Handler):
    """Knows the key of links."""

    @cached_property
    def sealer(self) -> links.Sealer:
        """The one of this program."""
        return links.Sealer(self.site.config.files.client_secret.get_secret_value())


class ShareHandler(ItemHandler, _Sealing):
    """`POST area, key, seconds`: a link that ends when it says, not later and, unless it is taken
    back, not sooner."""

    async def get(self) -> None:
        self.redirect(pages.link(""))

    async def post(self) -> None:
        area, key = self.place()
        wanted = self._seconds()
        life = wanted + 5 if wanted else links.LONGEST
        store, mine = await self.store(life), await self.store(life, guest=False)
        entry = await self.ask(store.show, area.bucket, key)
        most = int(min(store.keys.left(), mine.keys.left()))
        seconds = wanted or whole_minutes(min(store.keys.longest(), most))
        if seconds > most:
            raise PageError(
                HTTPStatus.BAD_REQUEST,
                f"A link ends with your keys: now it can live for {most} seconds at most.",
            )
        home = self.areas["home"].bucket
        sealed = await self.ask(links.make, mine, home, store, area, key, seconds)
        address = self.site.config.public_url + pages.link("shared", link=self.sealer.seal(sealed))
        shared = {"seconds": seconds, "address": address}
        self.page("item.html", **self.about(area, key, store, entry) | {"shared": shared})

    def _seconds(self) -> int:
        """0 for as long as can be; raises PageError."""
        text = self.get_argument("seconds", "")
        if text == "longest":
            return 0
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= links.LONGEST):
            raise PageError(HTTPStatus.BAD_REQUEST, "Say for how many seconds the link shall live.")
        return int(text)


class SharedHandler(DownloadHandler, _Sealing):
    """`GET ?link=L`: the file, for whoever has the link."""

    async def prepare(self) -> None:
        """Nobody needs to log in, so the hub is not asked who it is, not even for an error."""
        self.current_user = None

    async def get(self) -> None:
        sealed = self.sealer.open(self.text("link"))
        if sealed is None:
            raise PageError(HTTPStatus.NOT_FOUND, "This link is not whole: ask for it again.")
        self._sealed = sealed
        try:
            # Its content is of no concern, and may be anything: it is in a bucket of the maker's.
            async with self.streams.stream("GET", sealed.note) as note:
                self._still(note)
        except httpx.PoolTimeout as error:
            raise problems.busy() from error
        except httpx.HTTPError as error:
            raise problems.store_away() from error
        await self.pass_on(sealed.object)

    @property
    def streams(self) -> httpx.AsyncClient:
        return self.site.for_links

    def key(self) -> str:
        return self._sealed.key

    def head(self, answer: httpx.Response) -> None:
        self._still(answer)
        super().head(answer)

    def _still(self, answer: httpx.Response) -> None:
        if answer.status_code in _GONE:
            raise PageError(
                HTTPStatus.GONE,
                "This link has ended, was taken back, or its file is gone. "
                "Whoever gave it to you can make another.",
            )
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise problems.store_away()


class LinksHandler(Handler):
    """`GET`: the links that the person has made and that live."""

    async def get(self) -> None:
        store = await self.store()
        found = await self.ask(links.all_of, store, self.areas["home"].bucket)
        self.page(
            "links.html",
            areas=self.areas.values(),
            links=sorted(found.items(), key=lambda item: item[1].end),
            most=links.MOST_SHOWN,
            when=lambda end: datetime.fromtimestamp(end, UTC),
        )


class TakeBackHandler(FormHandler):
    """`POST name`: ends a link."""

    async def post(self) -> None:
        store = await self.store()
        await self.ask(links.take_back, store, self.areas["home"].bucket, self.text("name"))
        self.redirect(pages.link("links"), status=HTTPStatus.SEE_OTHER)
