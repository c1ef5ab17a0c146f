"""Uploads through here, where browsers do not reach the store: as they send, the store gets it."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import httpx
from tornado import web

from quaderno.files import problems
from quaderno.files.problems import PageError
from quaderno.files.uploading import UploadHandler, operation_of

_MOST = 5 << 30  # bytes of a part (Amazon S3 user guide, "Multipart upload limits")
_PIECES = 16  # of 64 KiB that wait for the store
_PATIENCE = httpx.Timeout(20, read=300, connect=3, pool=None)  # to join parts takes the store long
_PASSED_ON = ("ETag", "Content-Type")


@web.stream_request_body
class RelayHandler(UploadHandler):
    """`PUT, POST, GET, DELETE ?area=A&key=K&uploadId=U&partNumber=N`: the answer of the store."""

    async def prepare(self) -> None:
        await super().prepare()
        if "Transfer-Encoding" in self.request.headers:
            raise PageError(HTTPStatus.LENGTH_REQUIRED, "Say how long the file is: Content-Length.")
        self.request.connection.set_max_body_size(_MOST)  # type: ignore[union-attr]
        area, key = self.area(self.text("area")), self.upload_key(self.text("key"))
        operation, parameters = operation_of(self._asked())
        store = await self.store()
        url = store.sign(operation, area.bucket, key, **parameters)
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(_PIECES)
        self._sending = asyncio.ensure_future(self._send(url))

    def _asked(self) -> dict[str, Any]:
        part = self.text("partNumber")
        return {
            "method": self.request.method,
            "uploadId": self.text("uploadId") or None,
            "partNumber": int(part) if part.isascii() and part.isdigit() else None,
        }

    async def _send(self, url: str) -> httpx.Response:
        length = self.request.headers.get("Content-Length", "0")
        return await self.site.streams.request(
            str(self.request.method),
            url,
            content=self._received() if length != "0" else b"",
            headers={"Content-Length": length},
            timeout=_PATIENCE,
        )

    async def _received(self) -> AsyncIterator[bytes]:
        while piece := await self._pieces.get():
            yield piece

    async def data_received(self, chunk: bytes) -> None:
        """No faster than the store takes it; what it wants no more of is dropped."""
        putting = asyncio.ensure_future(self._pieces.put(chunk))
        await asyncio.wait({putting, self._sending}, return_when=asyncio.FIRST_COMPLETED)
        putting.cancel()

    def on_connection_close(self) -> None:
        """Half a file is no file."""
        if hasattr(self, "_sending"):
            self._sending.cancel()

    async def _finish(self) -> None:
        await self.data_received(b"")  # the end
        try:
            answer = await self._sending
        except httpx.HTTPError as error:
            raise problems.store_away() from error
        self.set_status(answer.status_code)
        for name in _PASSED_ON:
            if name in answer.headers:
                self.set_header(name, answer.headers[name])
        self.finish(answer.content)

    get = put = post = delete = _finish
