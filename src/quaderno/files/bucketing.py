"""The page of further buckets: making and deleting one's own."""

from http import HTTPStatus

from quaderno.files import further, pages
from quaderno.files.changing import FormHandler
from quaderno.files.handlers import Handler
from quaderno.files.places import Area
from quaderno.files.problems import PageError


class BucketsHandler(Handler):
    """`GET`: the person's further buckets."""

    async def get(self) -> None:
        store = await self.store()
        settings = self.site.config.store
        self.page(
            "buckets.html",
            areas=self.areas.values(),
            buckets=await self.ask(further.all_of, store, self.person),
            most=settings.further_buckets,
            quota=settings.further_quota,
            done=self.get_argument("done", ""),
            name=self.text("name"),
        )


class BucketFormHandler(FormHandler):
    """A form of that page, to which it leads back."""

    def back_to_buckets(self, done: str, name: str) -> None:
        """Which tells what was `done` to the bucket `name`."""
        self.redirect(pages.link("buckets", done=done, name=name), status=HTTPStatus.SEE_OTHER)

    def bucket(self) -> Area:
        """The further bucket that the form means; raises PageError."""
        area = self.area(self.text("bucket"))
        if area.name in self.areas:
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
        await self.ask(further.remove, store, area.bucket)
        self.back_to_buckets("deleted", area.title)
