"""Whether a site can start servers: by its engine, its store, and its operator's word."""

import asyncio
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest

from quaderno.config import Config, generate
from quaderno.hub.readiness import DRAINING, Readiness
from tests.ports import free_ports


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is there answers at once, unless the machine is busy."""
    monkeypatch.setattr("quaderno.hub.readiness._WITHIN", 60)


class Server(ThreadingHTTPServer):
    """Answers everything with `status`."""

    status = HTTPStatus.OK

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def instance(directory: Path, store: str) -> Config:
    config = generate(directory)
    (directory / "hub").mkdir(exist_ok=True)
    external = config.store.model_copy(update={"embedded": False, "endpoint": store})
    return config.model_copy(update={"store": external})


def engine(url: str) -> docker.APIClient:
    return docker.APIClient(url, version="1.41")


def problems(readiness: Readiness) -> tuple[str, ...]:
    return asyncio.run(readiness.problems())


def test_a_store_that_refuses_a_stranger_is_there(server: Server, tmp_path: Path) -> None:
    config = instance(tmp_path, server.url)
    assert problems(Readiness(config, engine(server.url))) == ()
    server.status = HTTPStatus.FORBIDDEN
    nobody = engine(f"http://127.0.0.1:{free_ports(1)}")
    assert problems(Readiness(config, nobody)) == ("the container engine does not answer",)


def test_what_does_not_answer_is_named(server: Server, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_ports(1)}"
    silent = ("the container engine does not answer", "the object store does not answer")
    assert problems(Readiness(instance(tmp_path, nobody), engine(nobody))) == silent
    server.status = HTTPStatus.INTERNAL_SERVER_ERROR
    out_of_order = Readiness(instance(tmp_path, server.url), engine(server.url))
    assert problems(out_of_order) == silent


def test_draining_outlives_a_hub(server: Server, tmp_path: Path) -> None:
    config = instance(tmp_path, server.url)
    first = Readiness(config, engine(server.url))
    first.drain(True)
    assert problems(first) == (DRAINING,)
    second = Readiness(config, engine(server.url))
    assert problems(second) == (DRAINING,)
    second.drain(False)
    second.drain(False)
    assert problems(second) == problems(first) == ()


def test_an_engine_that_hangs_keeps_one_thread(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often directors ask: the hub's others find the identity provider's address."""
    asked: list[None] = []
    over = threading.Event()

    def hangs() -> docker.APIClient:
        asked.append(None)
        over.wait()
        return engine(server.url)

    monkeypatch.setattr("quaderno.hub.readiness._engine", hangs)
    monkeypatch.setattr("quaderno.hub.readiness._WITHIN", 0.05)
    config = instance(tmp_path, server.url)

    async def look(times: int) -> int:
        try:
            for _ in range(times):
                assert "the container engine does not answer" in await Readiness(config).problems()
            return len(asked)
        finally:
            over.set()

    assert asyncio.run(look(3)) == 1
