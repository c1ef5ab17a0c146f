"""The sites' own part of a hub, served without the rest of it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from jupyterhub import orm
from sqlalchemy.pool import StaticPool
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.hub import site_api
from quaderno.hub.readiness import Readiness

USED_AT = 1_700_000_000  # Unix seconds
OPTIONS = {"image": "base", "cpu": 1, "memory": "2G"}


class Ready(Readiness):
    """Engine and store answer."""

    async def problems(self) -> tuple[str, ...]:
        return ("drained for maintenance",) if self.draining else ()


def instance(directory: Path, first_port: int, peer: str = "http://127.0.0.1:1") -> Config:
    """The site `bari`, whose web port is its hub's, and its peer `cnaf`."""
    config = quaderno_config.generate(directory, first_port=first_port)
    members = [
        {"name": "bari", "address": f"http://127.0.0.1:{config.ports.hub}"},
        {"name": "cnaf", "address": peer},
    ]
    data = yaml.safe_load(quaderno_config.dump(config))
    data["sites"] |= {"name": "bari", "members": members}
    (directory / "hub").mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(data)
    (directory / quaderno_config.CONFIG_FILE).write_text(text)
    return quaderno_config.load(directory)


def database(*, running: bool) -> Any:
    """Ada has a server, and bob has never had one."""
    session = orm.new_session_factory("sqlite://", poolclass=StaticPool)()
    ada, bob = orm.User(name="ada"), orm.User(name="bob")
    at = datetime.fromtimestamp(USED_AT, UTC).replace(tzinfo=None)
    server = orm.Spawner(name="", user=ada, last_activity=at, user_options=OPTIONS)
    if running:
        server.server = orm.Server(ip="127.0.0.1", port=1)
    session.add_all([ada, bob, server, orm.Spawner(name="", user=bob)])
    session.commit()
    return session


class Hanging(Readiness):
    """Neither engine nor store ever answers."""

    async def problems(self) -> tuple[str, ...]:
        await asyncio.Event().wait()
        raise AssertionError


@contextmanager
def serving(config: Config, db: Any, readiness: Readiness | None = None) -> Iterator[None]:
    """The sites' part, at the hub's port; engine and store answer, unless said otherwise."""
    routes = site_api.handlers(site_api.Here(config, readiness or Ready(config)))
    application = web.Application([(f"/hub{path}", *rest) for path, *rest in routes], db=db)
    with answering(application, config.ports.hub):
        yield


@contextmanager
def answering(application: web.Application, port: int) -> Iterator[None]:
    """A part of a hub, on a thread of its own."""
    sockets = bind_sockets(port, "127.0.0.1")
    started, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        loops.append(asyncio.get_running_loop())
        server = HTTPServer(application)
        server.add_sockets(sockets)
        started.set()
        await ended.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join()
