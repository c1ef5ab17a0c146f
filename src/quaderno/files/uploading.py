"""What the browser's uploader asks for: addresses, signed one by one, to which it sends files.

They are the store's, and nothing of a file passes through here; or where browsers do not reach it,
the relay's.
"""

from http import HTTPStatus
from typing import Any

from quaderno.files import pages, places
from quaderno.files.handlers import Handler, body
from quaderno.files.places import Area
from quaderno.files.problems import PageError
from quaderno.files.store import Store

MOST_NAMES = 200  # asked for at once
MOST_PARTS = 10_000  # Amazon S3 user guide, "Multipart upload limits"
# Requests of an upload, by HTTP method and by whether they are part of a multipart upload.
_OPERATIONS = {
    ("PUT", False): "put_object",
    ("POST", False): "create_multipart_upload",
    ("PUT", True): "upload_part",
    ("GET", True): "list_parts",
    ("POST", True): "complete_multipart_upload",
    ("DELETE", True): "abort_multipart_upload",
}


class UploadHandler(Handler):
    """A script's question about an upload."""

    json_only = True

    def upload_key(self, key: Any) -> str:
        """A file's key; raises PageError where no file can have it."""
        wrong = not isinstance(key, str) or key.endswith("/")
        problem = "This is not a file's name." if wrong else places.new_key_problem(key)
        if problem:
            raise PageError(HTTPStatus.BAD_REQUEST, problem)
        return str(key)


class SignHandler(UploadHandler):
    """`POST {area, key, method, uploadId, partNumber}`: {url}"""

    async def post(self) -> None:
        asked = body(self.request)
        area, key = self.area(str(asked.get("area"))), self.upload_key(asked.get("key"))
        operation, parameters = operation_of(asked)
        if not self.site.config.files.direct:
            url = self._relay(asked)
        else:
            store = await self.store()
            url = store.sign(operation, area.bucket, key, **parameters)
        self.finish({"url": url})

    def _relay(self, asked: dict[str, Any]) -> str:
        """This token stays in the page, as it does in forms."""
        names = ("area", "key", "uploadId", "partNumber")
        given = {name: str(asked[name]) for name in names if asked.get(name) is not None}
        return pages.link("relay", **given, _xsrf=self.xsrf_token.decode())


class TakenHandler(UploadHandler):
    """`POST {area, keys}`: {taken: {key: a name that is free}} of those that exist."""

    async def post(self) -> None:
        asked = body(self.request)
        area, keys = self.area(str(asked.get("area"))), asked.get("keys")
        if not isinstance(keys, list) or len(keys) > MOST_NAMES:
            raise PageError(HTTPStatus.BAD_REQUEST, f"At most {MOST_NAMES} names at once.")
        wanted = [self.upload_key(key) for key in keys]
        store = await self.store()
        self.finish({"taken": await self.ask(_taken, store, area, wanted)})


def _taken(store: Store, area: Area, keys: list[str]) -> dict[str, str]:
    found = [key for key in keys if store.exists(area.bucket, key)]
    return {
        key: places.free_name(key, lambda name: name in keys or store.exists(area.bucket, name))
        for key in found
    }


def operation_of(asked: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The one request of S3 that is asked for; raises PageError when it is not of an upload."""
    upload, part = asked.get("uploadId"), asked.get("partNumber")
    operation = _OPERATIONS.get((str(asked.get("method")), upload is not None))
    parameters: dict[str, Any] = {} if upload is None else {"UploadId": upload}
    if operation == "upload_part":
        parameters["PartNumber"] = part
        if type(part) is not int or not 1 <= part <= MOST_PARTS:
            operation = None
    if operation is None or not (upload is None or (isinstance(upload, str) and upload)):
        raise PageError(HTTPStatus.BAD_REQUEST, "This is not a step of an upload.")
    return operation, parameters
