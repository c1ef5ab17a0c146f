"""What Traefik does as the edge: what it passes on, to whom, and what it keeps from whom."""

import contextlib
import socket
import ssl
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import psutil
import pytest

from quaderno import components, edge, host, process, stack, supervisor
from quaderno import config as quaderno_config
from quaderno.config import Config
from tests.contract.edge_fixtures import (
    EDGE,
    Upstream,
    edge_instance,
    edge_pid,
    ends,
    get,
    listening,
    running_edge,
    s3_answers,
    s3_ways,
)
from tests.ports import free_ports
from tests.service.running import wait_for

HUB = components.named("hub")


@pytest.fixture(scope="module")
def config() -> Iterator[Config]:
    with edge_instance() as config:
        yield config


@pytest.fixture(scope="module")
def running(config: Config) -> Iterator[Config]:
    with running_edge(config):
        yield config


def write_hub_routes(config: Config, text: str) -> None:
    """As the hub does it: with its identity, atomically, readable by the edge's group."""
    program = (
        "import os, sys; path = sys.argv[1]; open(path + '.new', 'w').write(sys.argv[2]); "
        "os.chmod(path + '.new', 0o640); os.replace(path + '.new', path)"
    )
    command = [sys.executable, "-c", program, str(config.routes / "hub.yaml"), text]
    process.call(components.as_component(config, HUB, command), {})


HUB_ROUTES = """
http:
  routers:
    hub: {{rule: "PathPrefix(`/`)", service: hub, entryPoints: [web]}}
  services:
    hub: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{port}"}}]}}}}
jupyterhub: {{routes: {{}}}}
"""


@pytest.fixture
def web(running: Config) -> str:
    """The public URL, once the hub's routes are in force."""
    write_hub_routes(running, HUB_ROUTES.format(port=running.ports.hub))
    wait_for(lambda: get(running.public_url).is_success, 60, "the hub's route")
    return running.public_url


def test_edge_is_unprivileged(running: Config) -> None:
    edge_process = psutil.Process(edge_pid(running))
    assert edge_process.name() == "traefik"
    assert edge_process.username() == "quaderno-edge"
    kernel = Path(f"/proc/{edge_process.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in kernel
    assert "CapEff:\t0000000000000000" in kernel
    assert "CapBnd:\t0000000000000000" in kernel


def test_environment_of_a_component_holds_no_secret(running: Config) -> None:
    environment = psutil.Process(edge_pid(running)).environ()
    allowed = process.environment(running, "edge")
    assert environment.items() >= allowed.items()
    assert set(environment) - set(allowed) <= {"SUPERVISOR_ENABLED"}


def test_hub_routes_are_in_force_at_once(web: str, running: Config) -> None:
    assert get(f"{web}/hub/login").text.startswith(f"{running.ports.hub} /hub/login")


def hub_is_waited_for(config: Config) -> bool:
    """By the routes that the edge has in force."""
    url = f"http://127.0.0.1:{config.ports.edge_api}/api/http/routers/hub@file"
    user = (edge.API_USER, config.edge.api_password.get_secret_value())
    return "patience@file" in get(url, auth=user).json()["middlewares"]


def test_a_request_waits_for_a_hub_that_is_restarted(web: str, running: Config) -> None:
    port = free_ports(1)
    routes = HUB_ROUTES.format(port=port)
    write_hub_routes(
        running, routes.replace("service: hub,", "service: hub, middlewares: [patience],")
    )
    wait_for(lambda: hub_is_waited_for(running), 60, "the route")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, f"{web}/hub/login", content=b"name", timeout=60)
        assert not wait([asked], timeout=1).done, "nobody listens yet"
        with listening(port):
            assert asked.result().text.startswith(f"{port} /hub/login")
    write_hub_routes(running, HUB_ROUTES.format(port=running.ports.hub))
    wait_for(lambda: not hub_is_waited_for(running), 60, "the route")


def test_hub_cannot_replace_the_fixed_routes(running: Config) -> None:
    fixed = running.routes / "quaderno.yaml"
    command = [sys.executable, "-c", "import os, sys; os.unlink(sys.argv[1])", str(fixed)]
    with pytest.raises(Exception, match="PermissionError"):
        process.call(components.as_component(running, HUB, command), {})


def test_hub_cannot_read_the_private_key(running: Config) -> None:
    with pytest.raises(Exception, match="Permission denied"):
        process.call(
            components.as_component(running, HUB, ["ls", str(running.dir / "edge" / "tls")]),
            {"PATH": "/usr/bin:/bin"},
        )


@pytest.mark.parametrize(("place", "allowed"), [("acme", True), ("tls", False), (".", False)])
def test_edge_writes_nowhere_where_root_does(running: Config, place: str, allowed: bool) -> None:
    path = running.dir / "edge" / place / "new"
    command = components.as_component(running, EDGE, ["touch", str(path)])
    refusal = pytest.raises(Exception, match="Permission denied")
    with contextlib.nullcontext() if allowed else refusal:
        process.call(command, {"PATH": "/usr/bin:/bin"})


def test_names_of_files_pass_unchanged(web: str) -> None:
    path = "/user/ada/files/100%25%20%23%3F%3B%2F%C3%A4.ipynb"
    assert f" {path} " in get(web + path).text
    assert get(f"{web}/user/%00").status_code == 400


def test_forwarded_headers_of_clients_are_not_trusted(web: str) -> None:
    text = get(web, headers={"X-Forwarded-For": "8.8.8.8"}).text
    assert text.split()[-1] == "127.0.0.1"


def test_websockets_pass(web: str) -> None:
    address = ("127.0.0.1", int(web.rpartition(":")[2]))
    with socket.create_connection(address, timeout=60) as connection:
        connection.sendall(
            b"GET /user/ada/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        with connection.makefile("rb") as answers:
            assert answers.readline().split()[1] == b"101"
            while answers.readline().strip():
                pass
            connection.sendall(b"ping\n")
            assert answers.readline() == b"ping\n"


def test_identity_provider_has_an_origin_of_its_own(running: Config) -> None:
    assert get(f"{running.iam_url}/login").text.startswith(str(running.ports.iam_app))


def test_servers_reach_the_hub_api_and_nothing_else_of_the_hub(running: Config) -> None:
    url = f"http://{running.servers.gateway}:{running.ports.servers_hub}"
    for path in ("/hub/api", "/hub/api/oauth2/token"):
        assert get(url + path).text.startswith(f"{running.ports.hub} {path}")
    for path in ("/", "/hub/login", "/hub/apix", "/hub/api/../login", "/hub/api/%2e%2e/login"):
        assert get(url + path).status_code == 404


def test_s3_passes_as_it_is(running: Config) -> None:
    wait_for(lambda: s3_answers(running), 60, "the way to the store")
    for way in s3_ways(running):
        assert get(f"{way}/ada//a%2Fb").text == f"{running.ports.store_s3} /ada//a%2Fb None"


def test_a_store_that_hangs_gets_no_connections_and_one_that_is_late_is_waited_for(
    running: Config,
) -> None:
    def looks() -> int:
        return Upstream.asked.count("/healthz")

    def all_end() -> bool:
        with contextlib.suppress(httpx.TimeoutException):
            return all(ends(way) for way in s3_ways(running))
        return False

    wait_for(lambda: s3_answers(running), 60, "the way to the store")
    with ThreadPoolExecutor(2) as pool:
        before = looks()
        late = [pool.submit(httpx.get, f"{way}/late", timeout=60) for way in s3_ways(running)]
        wait_for(lambda: looks() >= before + 12, 60, "six looks at the store on each way")
        Upstream.late.set()
        assert all(answer.result().is_success for answer in late)
    Upstream.speaks.clear()
    try:
        wait_for(all_end, 60, "the end of new connections")
    finally:
        Upstream.speaks.set()
    wait_for(lambda: s3_answers(running), 60, "the way to the store")


def test_api_of_the_edge_needs_its_password(running: Config) -> None:
    url = f"http://127.0.0.1:{running.ports.edge_api}/api/entrypoints/web"
    password = running.edge.api_password.get_secret_value()
    assert get(url).status_code == 401
    assert get(url, auth=(edge.API_USER, "wrong")).status_code == 401
    assert get(url, auth=(edge.API_USER, password)).json()["name"] == "web"


def test_preparing_again_changes_nothing(running: Config) -> None:
    fixed = running.routes / "quaderno.yaml"
    before = fixed.read_text()
    acme = (running.dir / "edge" / "acme").stat()
    edge.prepare(running, acme.st_uid, acme.st_gid)
    assert fixed.read_text() == before


def test_renewed_certificate_is_in_force_without_a_restart(config: Config, tmp_path: Path) -> None:
    """On an edge of its own, with TLS on all public ports."""
    first, second = (certificate(tmp_path / name) for name in ("first", "second"))
    key_pair = {"mode": "files", "certificate": tmp_path / "c.pem", "key": tmp_path / "k.pem"}
    secure = config.model_copy(
        update={
            "dir": config.dir / "secure",
            "tls": quaderno_config.Tls.model_validate(key_pair),
            "ports": quaderno_config.Ports.from_first(free_ports()),
            "public_url": "https://localhost:8000",
        }
    )
    secure.dir.mkdir(mode=0o711)
    for user in components.USERS:
        host.ensure_user(user)
    (secure.dir / "quaderno.yaml").write_text(quaderno_config.dump(secure))
    install(first, tmp_path)
    supervisor.start(secure, ["edge"])
    try:
        wait_for(lambda: components.healthy(secure, EDGE), 60, "the edge's health")
        pid = edge_pid(secure)
        key = ["cat", str(secure.dir / "edge" / "tls" / "key.pem")]
        with pytest.raises(Exception, match="Permission denied"):
            process.call(components.as_component(secure, HUB, key), {"PATH": "/usr/bin:/bin"})
        with listening(secure.ports.store_s3):
            ports = (secure.ports.web, secure.ports.iam, secure.ports.s3)
            wait_for(lambda: {served(port) for port in ports} == {first[0]}, 60, "the certificate")
        assert not components.renew_certificates(secure)
        install(second, tmp_path)
        assert components.renew_certificates(secure)
        wait_for(lambda: served(secure.ports.web) == second[0], 60, "the new certificate")
        assert edge_pid(secure) == pid
    finally:
        stack.down(secure, print)


def certificate(directory: Path) -> tuple[str, str]:
    """A self-signed certificate for localhost and its key, as PEM."""
    directory.mkdir()
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(directory / "key"), "-out", str(directory / "certificate")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files]
    process.call(command, {"PATH": "/usr/bin:/bin"})
    return (directory / "certificate").read_text(), (directory / "key").read_text()


def install(pair: tuple[str, str], directory: Path) -> None:
    for text, name in zip(pair, ("c.pem", "k.pem"), strict=True):
        (directory / name).write_text(text)


def served(port: int) -> str:
    """The certificate; empty as long as there is nothing behind the port."""
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        return ssl.get_server_certificate(("127.0.0.1", port))
    return ""
