"""Servers that cost nothing: to the hub they are running ones like any other.

Each has its person and its rows in the hub's database, a container as far as the hub's questions to
the engine go, and an address where an HTTP server answers and keeps websockets. Everything else is
real: hub, edge, the routes, the engine for all other questions.
"""

import asyncio
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import httpx
from jupyterhub import orm
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import WebSocketException
from websockets.http11 import Request, Response

from quaderno import names
from quaderno.config import Config
from quaderno.hub import database
from tests.serving import Quiet, serving

_REAL_ENGINE = "/var/run/docker.sock"


def people(count: int) -> list[str]:
    return [f"simulated{number:04}" for number in range(count)]


def add(config: Config, count: int, port: int) -> None:
    """Into the database of a hub that does not run."""
    with orm.new_session_factory(database.url(config))() as session:
        for name in people(count):
            container = names.server_object(config.instance, name)
            server = orm.Server(proto="http", ip="127.0.0.1", port=port, base_url=f"/user/{name}/")
            session.add(
                orm.Spawner(
                    name="",
                    user=orm.User(name=name),
                    server=server,
                    started=datetime.now(UTC).replace(tzinfo=None),
                    state={"object_id": container, "object_name": container},
                )
            )
        session.commit()


# --- their containers


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The real one, but that simulated servers run in it."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Question)
        path.chmod(0o666)
        self.address = f"unix://{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A hub that was killed hears no answer."""


class _Question(Quiet):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "-simulated" in self.path and self.path.endswith("/json"):
            self.send_json(HTTPStatus.OK, {"State": {"Running": True}})
        elif "-simulated" in self.path and self.path.endswith("/wait"):
            threading.Event().wait()  # it does not end
        else:
            self._forward()

    do_POST = do_DELETE = do_GET

    def _forward(self) -> None:
        transport = httpx.HTTPTransport(uds=_REAL_ENGINE)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get("Content-Type")
        with httpx.Client(transport=transport, base_url="http://engine", timeout=60) as engine:
            headers = {"Content-Type": kind} if kind else {}
            answer = engine.request(self.command, self.path, content=body, headers=headers)
        self.send_json(answer.status_code, answer.json() if answer.content else None)


@contextmanager
def engine(path: Path) -> Iterator[Engine]:
    with serving(Engine(path)) as listening:
        yield listening


# --- their websockets


class Websockets:
    """One to each server through the edge, on which something is said every second."""

    def __init__(self, public_url: str, count: int, port: int) -> None:
        self.open = self.drops = 0
        self._url, self._count, self._port = public_url.replace("http", "ws", 1), count, port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._ends = asyncio.Event()

    @contextmanager
    def served(self) -> Iterator["Websockets"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._ends.set)
            self._thread.join()
            self._loop.close()

    def connect(self) -> None:
        """Begin to, once there are routes; `open` says how many there are."""
        for name in people(self._count):
            asyncio.run_coroutine_threadsafe(self._follow(name), self._loop)

    async def _run(self) -> None:
        async with serve(
            _say_again, "127.0.0.1", self._port, process_request=_http, ping_interval=None
        ):
            await self._ends.wait()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    async def _follow(self, name: str) -> None:
        async with await self._connected(name) as connection:
            self.open += 1
            try:
                while True:
                    await connection.send("still there?")
                    await asyncio.wait_for(connection.recv(), 60)
                    await asyncio.sleep(1)
            except (WebSocketException, TimeoutError):
                self.drops += 1

    async def _connected(self, name: str) -> ClientConnection:
        """As soon as there is a route; the hub is there before."""
        url = f"{self._url}/user/{name}/api/kernels/channels"
        while True:
            try:
                return await connect(url, ping_interval=None, open_timeout=60, proxy=None)
            except (WebSocketException, OSError):
                await asyncio.sleep(1)


async def _say_again(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def _http(connection: ServerConnection, request: Request) -> Response | None:
    """What is no websocket has an answer, too."""
    if "Upgrade" in request.headers:
        return None
    return connection.respond(HTTPStatus.OK, "{}")
