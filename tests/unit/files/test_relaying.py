"""What the relay sends to the store of an upload."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from quaderno.files.handlers import Handler
from quaderno.files.places import Area
from quaderno.files.relaying import RelayHandler


@pytest.fixture(autouse=True)
def _logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Handler) -> None:
        pass

    async def store(_: Handler) -> Any:
        return SimpleNamespace(sign=lambda *_, **__: "http://store.example/a")

    monkeypatch.setattr(Handler, "prepare", nothing)
    monkeypatch.setattr(Handler, "store", store)
    monkeypatch.setattr(Handler, "areas", {"home": Area("home", "", "bucket", "", "")})


async def _pieces() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


async def _upload(content: Any) -> tuple[int, list[bytes]]:
    """The status of the answer, and the files that came to the store."""
    arrived: list[bytes] = []

    async def take(request: httpx.Request) -> httpx.Response:
        arrived.append(await request.aread())
        return httpx.Response(200)

    listening, port = bind_unused_port()
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(take)) as streams,
        httpx.AsyncClient(trust_env=False) as browser,
    ):
        arguments = {"site": SimpleNamespace(streams=streams)}
        app = web.Application([("/relay", RelayHandler, arguments)], security_policy="")
        server = HTTPServer(app)
        server.add_socket(listening)
        url = f"http://127.0.0.1:{port}/relay?area=home&key=a"
        answer = await browser.put(url, content=content, timeout=60)
        server.stop()
        return answer.status_code, arrived


def test_a_file_arrives_whole() -> None:
    assert asyncio.run(_upload(b"x" * 100_000)) == (200, [b"x" * 100_000])
    assert asyncio.run(_upload(b"")) == (200, [b""])


def test_a_file_of_unknown_length_does_not_become_an_empty_one() -> None:
    assert asyncio.run(_upload(_pieces())) == (411, [])
