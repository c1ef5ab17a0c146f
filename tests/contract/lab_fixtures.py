"""JupyterLab of the base image in a container, with as much of a hub as it asks for."""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import docker
import httpx
from docker.models.containers import Container
from docker.models.networks import Network

from quaderno import config as configuration
from quaderno.images import build
from tests.contract.hub_api import ANNAS_TOKEN, HubApi, environment
from tests.contract.node_fixtures import Node
from tests.contract.storage_fixtures import eventually
from tests.serving import serving

# What the hub's spawner asks of the engine for every server.
CONFINED: dict[str, Any] = {
    "user": "1000:100",
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "mem_limit": "1g",
    "pids_limit": 4096,
}


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
def bridge(client: docker.DockerClient) -> Iterator[Network]:
    """A network for servers."""
    network = client.networks.create(f"quaderno-test-{secrets.token_hex(4)}", driver="bridge")
    network.reload()
    try:
        yield network
    finally:
        network.remove()


def gateway(network: Network) -> str:
    """This machine's address there."""
    return str(network.attrs["IPAM"]["Config"][0]["Gateway"])


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
            network = stack.enter_context(bridge(client))
            yield cls(client, build.base_reference(config), network)

    @contextmanager
    def lab(self, **options: Any) -> Iterator[Lab]:
        """Anna's JupyterLab in a new container, once it answers."""
        with ExitStack() as stack:
            hub = stack.enter_context(serving(HubApi(gateway(self._network))))
            container = self._client.containers.create(
                self._image,
                **CONFINED,
                environment=environment(hub.url),
                network=self._network.name,
                **options,
            )
            stack.callback(container.remove, force=True, v=True)
            container.start()
            client = stack.enter_context(client_of(container, self._network))
            yield Lab(container, client)


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
    headers = {"Authorization": f"token {ANNAS_TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        eventually(lambda: _answers(client), 120, "JupyterLab answers")
        yield client


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("api").status_code == 200
    except httpx.TransportError:
        return False
