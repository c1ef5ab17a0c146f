"""The hub's API as far as Anna's server asks it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import urlsplit

PREFIX = "/hub/api"
USER = {"name": "anna", "kind": "user", "admin": False, "groups": [], "scopes": ["access:servers"]}
SERVERS_TOKEN = "the server's"
ANNAS_TOKEN = "anna's"


@dataclass(frozen=True)
class Asked:
    """A request: `path` below PREFIX, and the token that it came with."""

    method: str
    path: str
    query: str
    token: str


class HubApi(ThreadingHTTPServer):
    """Knows Anna by her token; tests give it more to answer."""

    daemon_threads = True

    def __init__(self, address: str, port: int = 0) -> None:
        super().__init__((address, port), _Question)
        self.url = f"http://{address}:{self.server_port}{PREFIX}"

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """Status, and content that JSON can carry."""
        if asked.path == "/user":
            return (200, USER) if asked.token == ANNAS_TOKEN else (403, {"message": "Who is this?"})
        return 200, {"version": "6.1"}


class _Question(BaseHTTPRequestHandler):
    server: HubApi

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        path = url.path.removeprefix(PREFIX)
        token = (self.headers["Authorization"] or "").removeprefix("token ")
        status, content = self.server.answer(Asked(self.command, path, url.query, token))
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *arguments: object) -> None:
        pass


H = TypeVar("H", bound=HubApi)


@contextmanager
def answering(hub: H) -> Iterator[H]:
    """`hub`, which answers."""
    with hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


def environment(api: str, service: str = "http://0.0.0.0:8888") -> dict[str, str]:
    """What JupyterHub tells Anna's server, which is to listen at `service`."""
    return {
        "JUPYTERHUB_API_TOKEN": SERVERS_TOKEN,
        "JUPYTERHUB_API_URL": api,
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-anna",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers"]',
        "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/anna/oauth_callback",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/anna/",
        "JUPYTERHUB_SERVICE_URL": f"{service}/user/anna/",
        "JUPYTERHUB_USER": "anna",
    }
