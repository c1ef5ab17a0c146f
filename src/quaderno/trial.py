"""Starts an image as the hub would, to see whether it keeps the contract (`contract.py`).

Limits, user, environment and confinement are those of `hub/server.py`. In place of people's files
there is memory, in place of the hub something that knows its version and nobody.
"""

import ipaddress
import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.errors import APIError, NotFound

from quaderno import contract, host
from quaderno.config import Config
from quaderno.contract import Observed, Point
from quaderno.errors import HostError
from quaderno.host import Progress
from quaderno.hub import inside, server, workarea
from quaderno.hub.inside import InsideError, NoProgramError
from quaderno.hub.options import ServerOptions

LABEL = "quaderno.check"
_PREFIX = "/user/quaderno-check/"
_LOOK_EVERY = 0.2  # seconds
_PATIENCE = 30.0  # seconds, for a program in the container, or a server that answers already
_LISTENING = "0A"  # state of a socket in /proc/net/tcp (proc(5))
_ENGINES_DNS = ipaddress.ip_address("127.0.0.11")
_CPU_PERIOD = 100_000  # microseconds


def check(
    config: Config, reference: str, progress: Progress, *, network: bool = True, timeout: float = 0
) -> list[Point]:
    """The points of the contract, as the image `reference` keeps them.

    One that cannot start is not started. `timeout` is the seconds it may take to answer (0: as
    `servers.http_timeout` says); without `network` the server reaches nothing but the hub. Raises
    HostError when the engine does not answer or has no such image.
    """
    with host.engine() as client:
        try:
            attributes = client.inspect_image(reference)  # type: ignore[no-untyped-call]
        except NotFound:
            raise HostError(
                f"there is no image {reference} on this machine", f"docker pull {reference}"
            ) from None
        points = contract.of_image(attributes, client.version()["Arch"])
        if not contract.kept(points):
            return points
        patience = timeout or config.servers.http_timeout
        progress(f"Starting a server of {reference}, which has {patience:g} s to answer")
        trial = _Trial(config, client, reference, patience)
        return points + contract.of_server(trial.observe(network), version("jupyterhub"))


@dataclass(frozen=True)
class _Trial:
    config: Config
    client: docker.APIClient
    reference: str
    timeout: float

    def observe(self, network: bool) -> Observed:
        """Start it, wait until it answers, look at it and remove it."""
        name = f"quaderno-check-{secrets.token_hex(4)}"
        bridge = _network(self.client, name, self._labels, internal=not network)
        with bridge as gateway, _hub(gateway) as api:
            container = self.client.create_container(
                self.reference,
                name=name,
                user=contract.USER,
                working_dir=contract.WORKAREA,
                environment=self._environment(api),
                host_config=self._host_config(name),
                labels=self._labels,
            )["Id"]
            try:
                return self._observe(container)
            finally:
                self.client.remove_container(container, force=True, v=True)

    @property
    def _labels(self) -> dict[str, str]:
        return {LABEL: self.config.instance}

    @property
    def _options(self) -> ServerOptions:
        servers = self.config.servers
        return ServerOptions(self.reference, servers.cpu.default, servers.memory.default)

    def _environment(self, api: str) -> dict[str, str]:
        return server.environment(self.config, self._options) | {
            "JUPYTERHUB_API_TOKEN": "of-nobody",
            "JUPYTERHUB_API_URL": api,
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-quaderno-check",
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers"]',
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{_PREFIX}oauth_callback",
            "JUPYTERHUB_SERVICE_PREFIX": _PREFIX,
            "JUPYTERHUB_SERVICE_URL": f"http://0.0.0.0:{contract.PORT}{_PREFIX}",
            "JUPYTERHUB_USER": "quaderno-check",
        }

    def _host_config(self, network: str) -> Any:
        """As the hub's, but with memory where people's files would be."""
        return self.client.create_host_config(
            **server.host_config(self.config, self._options),
            network_mode=network,
            mem_limit=self._options.memory,
            cpu_period=_CPU_PERIOD,
            cpu_quota=int(self._options.cpu * _CPU_PERIOD),
            tmpfs=dict.fromkeys(contract.BOUND, "uid=1000,gid=100,mode=0755"),
        )

    def _observe(self, container: str) -> Observed:
        try:
            self.client.start(container)
        except APIError as error:
            return Observed(refused=" ".join(str(error.explanation).split()))
        begun = time.monotonic()
        description = self.client.inspect_container(container)
        (network,) = description["NetworkSettings"]["Networks"].values()
        url = f"http://{network['IPAddress']}:{contract.PORT}{_PREFIX}"
        with httpx.Client(base_url=url, timeout=5, trust_env=False) as http:
            answer = self._answer(container, http, begun + self.timeout)
            seen = Observed(waited=time.monotonic() - begun)
            if answer is None:
                return self._without_answer(container, seen)
            return self._with_answer(container, http, answer, seen)

    def _answer(self, container: str, http: httpx.Client, deadline: float) -> httpx.Response | None:
        """Of JupyterLab's API; None when there is none before `deadline`, or it has ended."""
        while time.monotonic() < deadline:
            try:
                return http.get("api")
            except httpx.TransportError:
                if not self._state(container)["Running"]:
                    return None
            time.sleep(_LOOK_EVERY)
        return None

    def _state(self, container: str) -> dict[str, Any]:
        state: dict[str, Any] = self.client.inspect_container(container)["State"]
        return state

    def _without_answer(self, container: str, seen: Observed) -> Observed:
        state = self._state(container)
        if state["Running"]:
            listening, inside = _ports_of(state["Pid"])
            return replace(seen, listening=listening, inside=inside)
        lines = self.client.logs(container, tail=20).decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return replace(
            seen, ended=state["ExitCode"], out_of_memory=state["OOMKilled"], last_line=last
        )

    def _with_answer(
        self, container: str, http: httpx.Client, answer: httpx.Response, seen: Observed
    ) -> Observed:
        try:
            open_status = http.get("api/contents", timeout=_PATIENCE).status_code
        except httpx.TransportError:
            open_status = None
        return replace(
            seen,
            status=answer.status_code,
            open_status=open_status,
            jupyterhub=answer.headers.get("X-JupyterHub-Version"),
            unwritable=self._unwritable(container),
            has_server_package=self._has_server_package(container),
        )

    def _unwritable(self, container: str) -> tuple[str, ...] | None:
        script = 'for place; do test -w "$place" || echo "$place"; done'
        command = ["sh", "-c", script, "sh", *contract.WRITABLE]
        try:
            return tuple(inside.run(self.client, container, command, _PATIENCE).decode().split())
        except InsideError:
            return None

    def _has_server_package(self, container: str) -> bool:
        try:
            inside.run(self.client, container, [workarea.PROGRAM, "list", "--json"], _PATIENCE)
        except NoProgramError:
            return False
        except InsideError:
            return True
        return True


@contextmanager
def _network(
    client: docker.APIClient, name: str, labels: dict[str, str], *, internal: bool
) -> Iterator[str]:
    """A bridge for one container; yields its gateway.

    In the engine's own range of addresses: the firewall keeps those of `servers.network` from what
    listens here.
    """
    client.create_network(name, driver="bridge", internal=internal, labels=labels)
    try:
        yield client.inspect_network(name)["IPAM"]["Config"][0]["Gateway"]
    finally:
        client.remove_network(name)


@contextmanager
def _hub(address: str) -> Iterator[str]:
    """The URL of a hub's API that tells its version and knows nobody."""
    with ThreadingHTTPServer((address, 0), _HubHandler) as api:
        thread = threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{address}:{api.server_port}/hub/api"
        finally:
            api.shutdown()
            thread.join()


class _HubHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        known = self.path.rstrip("/") == "/hub/api"
        body = json.dumps({"version": version("jupyterhub")} if known else {}).encode()
        self.send_response(200 if known else 403)
        self.send_header("X-JupyterHub-Version", version("jupyterhub"))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing to the operator's terminal."""


def _ports_of(process: int) -> tuple[frozenset[int], frozenset[int]]:
    """Those of `listening_ports` in the network namespace of `process`; none if unknown."""
    try:
        tables = [Path(f"/proc/{process}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    except OSError:
        return frozenset(), frozenset()
    return listening_ports("".join(tables))


def listening_ports(tables: str) -> tuple[frozenset[int], frozenset[int]]:
    """The listening ports in the form of /proc/net/tcp and tcp6 (proc(5)): those that others
    reach, and those on loopback, without the engine's own."""
    rows = [line.split() for line in tables.splitlines()]
    local = [row[1].split(":") for row in rows if row[3] == _LISTENING]
    sockets = [(_address(address), int(port, 16)) for address, port in local]
    reached = frozenset(port for address, port in sockets if not address.is_loopback)
    return reached, frozenset(
        port for address, port in sockets if address.is_loopback and address != _ENGINES_DNS
    )


def _address(words: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """From `words` of 32 bits, hexadecimal numbers in this machine's byte order."""
    numbers = (int(words[i : i + 8], 16) for i in range(0, len(words), 8))
    found = ipaddress.ip_address(b"".join(socket.ntohl(n).to_bytes(4, "big") for n in numbers))
    return getattr(found, "ipv4_mapped", None) or found
