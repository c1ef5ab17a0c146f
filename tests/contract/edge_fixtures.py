"""The real edge under the real supervisor, on an instance of its own.

The gateway of the servers' network is another address of the loopback interface here.
"""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import httpx
import yaml

from quaderno import components, host, init, stack, supervisor
from quaderno import config as quaderno_config
from quaderno.config import Config
from tests.ports import free_ports
from tests.service.running import wait_for
from tests.serving import Quiet, serving

EDGE = components.named("edge")
get = partial(httpx.get, timeout=60)  # seconds; httpx itself waits for five


class Upstream(Quiet):
    """Says which service it is, what was asked, and who it was told is asking.

    All hang while `speaks` is cleared; who asks for /late hears nothing before `late` is set.
    """

    asked: ClassVar[list[str]] = []
    speaks, late = threading.Event(), threading.Event()
    speaks.set()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.speaks.wait(60)
        if self.path == "/late":
            self.late.wait(60)
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(self.rfile.readline())
            self.close_connection = True
            return
        port = self.connection.getsockname()[1]
        body = f"{port} {self.path} {self.headers['X-Forwarded-For']}"
        self.send(200, body.encode())

    do_POST = do_GET


@contextlib.contextmanager
def listening(port: int) -> Iterator[None]:
    with serving(ThreadingHTTPServer(("127.0.0.1", port), Upstream)):
        yield


@contextlib.contextmanager
def edge_instance() -> Iterator[Config]:
    """Not in pytest's directory: the edge's user must reach it."""
    directory = Path(tempfile.mkdtemp(prefix="quaderno-test-", dir="/var/lib"))
    directory.chmod(0o711)
    init.write(directory, first_port=free_ports())
    path = directory / "quaderno.yaml"
    data = yaml.safe_load(path.read_text())
    data["servers"]["network"] = "127.213.0.0/20"
    path.write_text(yaml.safe_dump(data))
    yield quaderno_config.load(directory)
    shutil.rmtree(directory)


@contextlib.contextmanager
def running_edge(config: Config) -> Iterator[None]:
    """The edge alone, with a hub, a store and an identity provider that only say their port."""
    for user in components.USERS:
        host.ensure_user(user)
    supervisor.start(config, ["edge"])
    try:
        wait_for(lambda: components.healthy(config, EDGE), 60, "the edge's health")
        with contextlib.ExitStack() as upstreams:
            for port in (config.ports.hub, config.ports.iam_app, config.ports.store_s3):
                upstreams.enter_context(listening(port))
            wait_for(lambda: s3_answers(config), 60, "the way to the store")
            yield
    finally:
        stack.down(config, print)


def edge_pid(config: Config) -> int:
    return supervisor.processes(config)["edge"].pid


def s3_ways(config: Config) -> list[str]:
    """Where people reach the store, and where their servers do."""
    ports = config.ports
    return [f"http://127.0.0.1:{ports.s3}", f"http://{config.servers.gateway}:{ports.servers_s3}"]


def s3_answers(config: Config) -> bool:
    """Whether it does, and at once."""
    with contextlib.suppress(httpx.TimeoutException):
        return not any(ends(way) for way in s3_ways(config))
    return False


def ends(url: str) -> bool:
    """Whether the edge ends connections at once. Raises httpx.TimeoutException."""
    try:
        return not httpx.get(url, timeout=3).is_success
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return True
