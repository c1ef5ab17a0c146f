"""The page of further buckets: making, sharing and deleting one's own; and what others share."""

from http import HTTPStatus

from quaderno.files import further, pages, places, sharing
from quaderno.files.changing import FormHandler
from quaderno.files.handlers import Handler
from quaderno.files.places import Area
from quaderno.files.problems import PageError

# What a form has done; of an address made by others, no other words are told.
NOTICES = {
    "made": "Made:",
    "deleted": "Deleted:",
    "shared": "Shared:",
    "stopped": "Not shared any more with them:",
}


class BucketsHandler(Handler):
    """`GET`: the person's further buckets, and those that others share with them."""

    async def get(self) -> None:
        config, store = self.site.config, await self.store()
        buckets = {
            bucket: await self.ask(sharing.shares, store, bucket) if config.shares_buckets else None
            for bucket in await self.ask(further.all_of, store, self.person)
        }
        self.page(
            "buckets.html",
            areas=self.areas.values(),
            buckets=buckets,
            most=config.store.further_buckets,
            quota=config.store.further_quota,
            shared=await self._shared() if config.shares_buckets else None,
            done=NOTICES.get(self.get_argument("done", ""), ""),
            name=self.text("name"),
        )

    async def _shared(self) -> list[Area]:
        """With the person; a notice says nothing that an area's name would not allow."""
        guest = await self.store(guest=True)
        config = self.site.config
        most = config.store.further_buckets
        told = await self.ask(sharing.with_me, guest, self.person, most)
        found = [places.further(config, self.person, name) for name in told]
        return [area for area in found if area and area.guest]


class BucketFormHandler(FormHandler):
    """A form of that page, to which it leads back."""

    def back_to_buckets(self, done: str, name: str) -> None:
        """Which tells what was `done` to the bucket `name`."""
        self.redirect(pages.link("buckets", done=done, name=name), status=HTTPStatus.SEE_OTHER)

    def bucket(self) -> Area:
        """The further bucket that the form means; raises PageError."""
        area = self.area(self.text("bucket"))
        if area.name in self.areas or area.guest:
            raise PageError(HTTPStatus.BAD_REQUEST, "This is not a further bucket of yours.")
        return area


class NewBucketHandler(BucketFormHandler):
    """`POST name`"""

    async def post(self) -> None:
        name, most = self.text("name").strip(), self.site.config.store.further_buckets
        store = await self.store()
        await self.ask(further.make, store, self.person, name, most)
        self.back_to_buckets("made", name)


class DeleteBucketHandler(BucketFormHandler):
    """`POST bucket`: deletes one that is empty."""

    async def post(self) -> None:
        area = self.bucket()
        store = await self.store()
        people = None
        if self.site.config.shares_buckets:
            people = await self.ask(sharing.shares, store, area.bucket)
        await self.ask(further.remove, store, area.bucket)
        await self.ask(sharing.forget, store, area.bucket, people or {})
        self.back_to_buckets("deleted", area.title)


class ShareBucketHandler(BucketFormHandler):
    """`POST bucket, person, how`: read or write; anything else ends it."""

    async def post(self) -> None:
        area, config = self.bucket(), self.site.config
        person, how = self.text("person").strip(), self.get_argument("how", "")
        if not config.shares_buckets:
            raise PageError(HTTPStatus.NOT_FOUND, "This service shares no buckets.")
        store = await self.store()
        if how in places.HOWS:
            await self.ask(sharing.share, store, config, area.bucket, person, how)
        else:
            await self.ask(sharing.stop, store, config, area.bucket, person)
        self.back_to_buckets("shared" if how in places.HOWS else "stopped", area.title)
