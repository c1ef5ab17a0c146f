"""JupyterLab of the base image in a container, with as much of a hub as it asks for."""

import json
import secrets
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import docker
import httpx
from docker.models.containers import Container
from docker.models.networks import Network

from quaderno import config as configuration
from quaderno.images import build
from tests.contract.node_fixtures import Node
from tests.contract.storage_fixtures import eventually

# What the hub's spawner asks of the engine for every server.
CONFINED: dict[str, Any] = {
    "user": "1000:100",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "1g",
    "pids_limit": 4096,
}
USER = {"name": "anna", "kind": "user", "admin": False, "groups": [], "scopes": ["access:servers"]}


@dataclass(frozen=True)
class Lab:
    """Anna's server, and her client of it."""

    container: Container
    client: httpx.Client

    def run(self, command: str) -> str:
        """The output of a shell command in the container, once it succeeded."""
        result: Any = self.container.exec_run(["sh", "-c", command], workdir="/workarea")
        output = str(result.output.decode())
        assert result.exit_code == 0, output
        return output.strip()


@contextmanager
def hub_api(address: str) -> Iterator[str]:
    """The hub's API as far as a server asks it; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asks_who = self.path.endswith("/user")
            known = not asks_who or self.headers["Authorization"] == "token anna's"
            body = json.dumps(USER if asks_who else {"version": "6.1"}).encode()
            self.send_response(200 if known else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer((address, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{address}:{server.server_port}/hub/api"
        finally:
            server.shutdown()
            thread.join()


class Engine:
    """The container engine, with the base image and a network for servers."""

    def __init__(self, client: docker.DockerClient, image: str, network: Network) -> None:
        self._client, self._image, self._network = client, image, network

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Self]:
        with ExitStack() as stack, tempfile.TemporaryDirectory() as directory:
            client = docker.from_env()
            stack.callback(client.close)
            config = configuration.generate(Path(directory))
            build.build_base(config, print)
            name = f"quaderno-test-{secrets.token_hex(4)}"
            network = client.networks.create(name, driver="bridge")
            stack.callback(network.remove)
            network.reload()
            yield cls(client, build.base_reference(config), network)

    @contextmanager
    def lab(self, **options: Any) -> Iterator[Lab]:
        """Anna's JupyterLab in a new container, once it answers."""
        with ExitStack() as stack:
            api = stack.enter_context(hub_api(self._network.attrs["IPAM"]["Config"][0]["Gateway"]))
            container = self._client.containers.create(
                self._image,
                **CONFINED,
                environment=environment(api),
                network=self._network.name,
                **options,
            )
            stack.callback(container.remove, force=True, v=True)
            container.start()
            client = stack.enter_context(client_of(container, self._network))
            yield Lab(container, client)


def environment(api: str) -> dict[str, str]:
    """What the hub tells Anna's server."""
    return {
        "JUPYTERHUB_API_TOKEN": "the server's",
        "JUPYTERHUB_API_URL": api,
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-anna",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers"]',
        "JUPYTERHUB_OAUTH_CALLBACK_URL": "/user/anna/oauth_callback",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/anna/",
        "JUPYTERHUB_SERVICE_URL": "http://0.0.0.0:8888/user/anna/",
        "JUPYTERHUB_USER": "anna",
    }


def node_binds(node: Node) -> dict[str, dict[str, str]]:
    """Anna's directories, bound as the hub's spawner binds them."""
    storage = {"bind": "/workarea/cloud_storage", "mode": "rw", "propagation": "rslave"}
    return {
        str(node.config.mounts / "anna"): storage,
        str(node.config.local / "anna"): {"bind": "/workarea/local", "mode": "rw"},
    }


@contextmanager
def client_of(container: Container, network: Network) -> Iterator[httpx.Client]:
    """Anna's client of the JupyterLab in a container, once that answers."""
    container.reload()
    address = container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
    url = f"http://{address}:8888/user/anna/"
    with httpx.Client(base_url=url, headers={"Authorization": "token anna's"}) as client:
        eventually(lambda: _answers(client), 60, "JupyterLab answers")
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("api").status_code == 200
    except httpx.TransportError:
        return False
