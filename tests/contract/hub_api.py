"""The hub's API as far as Anna's server asks it."""

from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.serving import Quiet

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


class _Question(Quiet):
    server: HubApi

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        path = url.path.removeprefix(PREFIX)
        token = (self.headers["Authorization"] or "").removeprefix("token ")
        self.send_json(*self.server.answer(Asked(self.command, path, url.query, token)))

    do_POST = do_GET


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
