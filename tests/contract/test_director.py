"""The director's Traefik in front of two sites that are nothing but their answers."""

import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import yaml

from quaderno import config as quaderno_config
from quaderno import director, edge
from quaderno.config import Config
from quaderno.hub import PATIENCE
from tests.ports import free_ports
from tests.service.running import wait_for


class Site(ThreadingHTTPServer):
    """Says its name, and at /health whether it is ready."""

    daemon_threads = True
    ready = True
    looks = 0  # at whether it is ready

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        super().__init__(("127.0.0.1", port), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Site
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.looks += self.path == "/health"
        unready = self.path == "/health" and not self.server.ready
        body = f"{self.server.name} {self.headers['Host']}".encode()
        self.send_response(HTTPStatus.SERVICE_UNAVAILABLE if unready else HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # a kept one would be served after the end
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def site(name: str, port: int) -> Iterator[Site]:
    with Site(name, port) as running:
        thread = threading.Thread(target=running.serve_forever, args=[0.05])
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    first = free_ports()
    config = quaderno_config.generate(tmp_path, first_port=first)
    members = [
        {"name": "bari", "address": f"http://127.0.0.1:{first}"},
        {"name": "cnaf", "address": f"http://127.0.0.1:{config.ports.files}", "weight": 3},
    ]
    data = yaml.safe_load(quaderno_config.dump(config))
    data["sites"] |= {"name": "bari", "members": members}
    # Another address of the loopback interface in place of the servers' network.
    data["servers"]["network"] = "127.214.0.0/20"
    return quaderno_config.parse(data, tmp_path)


@pytest.fixture
def endpoint(config: Config) -> Iterator[httpx.Client]:
    url = f"http://127.0.0.1:{config.ports.director}"
    with running(config, director), httpx.Client(base_url=url, timeout=90) as client:
        yield client


@contextmanager
def running(config: Config, which: ModuleType) -> Iterator[None]:
    """The director's Traefik, or the edge's."""
    which.prepare(config, os.geteuid(), os.getegid())
    with (
        (config.dir / f"{which.NAME}.log").open("wb") as log,
        subprocess.Popen(which.command(config), stdout=log, stderr=log) as process,
    ):
        try:
            wait_for(lambda: _healthy(which.health_url(config)), 60, which.NAME)
            yield
        finally:
            process.terminate()


def _healthy(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def led_to(endpoint: httpx.Client, cookie: str = "") -> str:
    """The site that answers; nothing where none does."""
    cookies = {"Cookie": f"a=b; quaderno-site={cookie}; c=d"} if cookie else {}
    answer = endpoint.get("/", headers=cookies)
    return answer.text.split()[0] if answer.is_success else ""


def all_led_to(endpoint: httpx.Client, cookie: str) -> set[str]:
    """Where eight go: by weight in turn, or as the cookie says. A site that has not answered a look
    in time, which is the machine's fault here, gets nobody till the next one."""
    return {led_to(endpoint, cookie) for _ in range(8)}


def spread_as_others(endpoint: httpx.Client, cookie: str) -> bool:
    return all_led_to(endpoint, cookie) == {"bari", "cnaf"}


def test_visitors_are_led_as_cookies_health_and_weights_say(
    config: Config, endpoint: httpx.Client
) -> None:
    bari = site("bari", config.ports.web)
    with site("cnaf", config.ports.files) as cnaf:
        with bari:
            wait_for(lambda: led_to(endpoint, "bari") == "bari", 60, "a look at bari")
            wait_for(lambda: led_to(endpoint, "cnaf") == "cnaf", 60, "a look at cnaf")
            wait_for(lambda: all_led_to(endpoint, "bari") == {"bari"}, 60, "all of them at bari")
            wait_for(lambda: spread(endpoint) == (2, 6), 60, "visitors by weight")
            for unknown in ("roma", "barix", "xbari", ".ari"):
                wait_for(
                    partial(spread_as_others, endpoint, unknown), 60, f"visitors with {unknown}"
                )
            host = endpoint.base_url.netloc.decode()
            assert endpoint.get("/").text.endswith(f" {host}"), "sites see the endpoint's name"
            # Drained: nobody new, but whoever works there goes on.
            cnaf.ready = False
            wait_for(lambda: spread(endpoint) == (8, 0), 60, "the drain")
            wait_for(lambda: all_led_to(endpoint, "cnaf") == {"cnaf"}, 60, "all of them at cnaf")
        # Dead: the other takes over, ready or not.
        wait_for(lambda: led_to(endpoint, "bari") == "cnaf", 60, "the other site")
        wait_for(lambda: led_to(endpoint) == "cnaf", 60, "the other site for new ones")
    wait_for(lambda: led_to(endpoint) == "", 60, "the end of both")


def spread(endpoint: httpx.Client) -> tuple[int, int]:
    """How many of eight new visitors come to each site."""
    found = [led_to(endpoint) for _ in range(8)]
    return found.count("bari"), found.count("cnaf")


def test_a_hub_that_is_restarted_turns_nobody_away(config: Config, endpoint: httpx.Client) -> None:
    """Behind bari's real edge: whoever is led there meanwhile waits, and is served."""
    with running(config, edge), site("cnaf", config.ports.files) as cnaf:
        _add_the_hubs_route(config)
        with site("bari", config.ports.hub):
            wait_for(lambda: spread(endpoint) == (2, 6), 60, "visitors by weight")
        before = cnaf.looks
        wait_for(lambda: cnaf.looks >= before + 2, 60, "looks at both sites")
        with ThreadPoolExecutor(8) as pool:
            visitors = [pool.submit(led_to, endpoint) for _ in range(8)]
            wait_for(lambda: sum(each.done() for each in visitors) == 6, 60, "cnaf's visitors")
            with site("bari", config.ports.hub):
                found = [each.result() for each in visitors]
        assert (found.count("bari"), found.count("cnaf")) == (2, 6)


def _add_the_hubs_route(config: Config) -> None:
    """As the hub does."""
    router = {"entryPoints": ["web"], "rule": "PathPrefix(`/`)", "service": "hub"}
    service = {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{config.ports.hub}"}]}}
    routes = {
        "routers": {"hub": router | {"middlewares": [f"{PATIENCE}@file"]}},
        "services": {"hub": service},
    }
    (config.routes / "hub.yaml").write_text(yaml.safe_dump({"http": routes}))
