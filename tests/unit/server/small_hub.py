"""A hub as Anna's server sees it: an address, a token, and whatever a test has it answer."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import ThreadingHTTPServer

from tests.serving import Quiet, serving

TOKEN = "token-of-the-server"
PREFIX = "/hub/api/quaderno/users/anna/"


class SmallHub(ThreadingHTTPServer, ABC):
    """Listens on a port of its own; what it answers is each test's."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)

    @abstractmethod
    def answer(self, method: str, path: str, authorization: str | None) -> tuple[int, bytes]:
        """Status and body."""

    @property
    def environment(self) -> dict[str, str]:
        """What the hub gives to her server."""
        return {
            "JUPYTERHUB_API_URL": f"http://127.0.0.1:{self.server_port}/hub/api",
            "JUPYTERHUB_API_TOKEN": TOKEN,
            "JUPYTERHUB_USER": "anna",
        }

    @contextmanager
    def serving(self) -> Iterator[None]:
        """It answers as long as this lasts."""
        with serving(self):
            yield


class _Handler(Quiet):
    server: SmallHub

    def do_GET(self) -> None:
        status, body = self.server.answer(self.command, self.path, self.headers["Authorization"])
        with suppress(ConnectionError):  # who asked has not waited
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

    do_POST = do_GET
