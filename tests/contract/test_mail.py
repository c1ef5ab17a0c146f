"""The running identity provider and a mail server that takes its time."""

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from quaderno import undelivered
from tests.contract.identity_fixtures import Browser, get, running_provider
from tests.contract.storage_fixtures import eventually
from tests.ports import free_ports
from tests.serving import serving


class SlowServer(socketserver.ThreadingTCPServer):
    """Says nothing until `speaks` is set; then takes messages (RFC 5321)."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Session)
        self.came, self.speaks = threading.Event(), threading.Event()
        self.taken: list[str] = []


class _Session(socketserver.StreamRequestHandler):
    server: SlowServer

    def handle(self) -> None:
        self.server.came.set()
        self.server.speaks.wait(60)
        self._say("220 ready")
        for line in self.rfile:
            if line.upper().startswith(b"DATA"):
                self._say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.taken.append(text.decode())
            self._say("221 bye" if line.upper().startswith(b"QUIT") else "250 fine")

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


@pytest.fixture
def server() -> Iterator[SlowServer]:
    with serving(SlowServer(free_ports(1))) as server:
        yield server
        server.speaks.set()


def test_pages_do_not_wait_for_it(server: SlowServer, tmp_path: Path) -> None:
    port = server.server_address[1]
    email = {"backend": "smtp", "host": "127.0.0.1", "port": port, "security": "none"}
    with running_provider(tmp_path, email=email) as provider, Browser(provider) as browser:
        reset = f"{provider.config.iam_url}/identity/reset/"
        assert browser.submit(browser.visit(reset), email="ada@example.org").status_code == 200
        assert server.came.wait(60), "it is asked"
        assert server.taken == []
        assert browser.submit(browser.visit(reset), email="eve@example.org").status_code == 200
        assert undelivered.warnings(provider.config) == [], "nothing has failed"
        server.speaks.set()
        eventually(lambda: len(server.taken) == 2, 60, "both messages are taken")
        assert "/identity/reset/" in server.taken[0]


def test_operators_are_told_of_one_that_is_not_there(tmp_path: Path) -> None:
    email = {"backend": "smtp", "host": "127.0.0.1", "port": free_ports(1), "security": "none"}
    with running_provider(tmp_path, email=email) as provider, Browser(provider) as browser:
        page = browser.visit(f"{provider.config.iam_url}/identity/reset/")
        browser.submit(page, email="ada@example.org")
        (said,) = eventually(lambda: undelivered.warnings(provider.config), 60, "it is told")
        assert "not delivered: 1, the oldest of 20" in said
        assert "(ConnectionRefusedError)" in said
        health = get(f"http://127.0.0.1:{provider.config.ports.iam_app}/healthz")
        assert health.status_code == 200
    assert undelivered.warnings(provider.config) == [], "a provider that is down is told elsewhere"
