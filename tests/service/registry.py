"""An image registry that can be slow, refuse, or stand still: Debian's, behind a proxy."""

import http.client
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path

import docker
import httpx
import yaml

from tests.ports import free_ports
from tests.service.running import wait_for
from tests.serving import Quiet, serving

_CHUNK = 1 << 15
# Answers any request, so that the hub takes it for a notebook server; Debian has perl everywhere.
_SERVER = """
use IO::Socket::INET;
$SIG{TERM} = sub { exit };
my $listener = IO::Socket::INET->new(LocalPort => 8888, Listen => 9, ReuseAddr => 1) or die;
while (my $client = $listener->accept) {
    while (defined(my $line = <$client>)) { last if $line =~ /^\\r?$/; }
    print $client "HTTP/1.0 200 OK\\r\\nContent-Type: application/json\\r\\n\\r\\n{}";
    close $client;
}
"""
# First what no other image has: the engine deletes an image's steps with it, and would take those
# that it has found for another worker's build to begin with.
_DOCKERFILE = """
FROM debian:bookworm-slim
COPY layer /
COPY server.pl /
CMD ["perl", "/server.pl"]
"""


class Registry(ThreadingHTTPServer):
    """What the engine pulls from; its misbehaviour is set from outside, at any time."""

    daemon_threads = True

    def __init__(self, behind: int) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind = behind
        self.errors = 0  # in so many pulls, requests for manifests are answered with 503
        self.rate = 0  # bytes a second of each layer; 0 is as fast as it can
        self.flows = threading.Event()  # cleared, layers stand still after their first bytes
        self.flows.set()
        self.downloads = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def behave(self) -> None:
        """As a registry should."""
        self.errors = self.rate = 0
        self.flows.set()

    def handle_error(self, request: object, client_address: object) -> None:
        """An engine that hangs up in the middle is what some tests are about."""


class _Forward(Quiet):
    """Requests as they come, answers as `server` is told."""

    server: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if "/manifests/" in self.path and self.server.errors > 0:
            # Told "no" by HEAD, the engine makes sure with GET.
            self.server.errors -= self.command == "GET"
            self._head(HTTPStatus.SERVICE_UNAVAILABLE, {"Content-Length": "0"})
            return
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.behind, timeout=30)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # a name may come twice, as Accept does
                upstream.putheader(name, value)
            upstream.endheaders()
            answer = upstream.getresponse()
            self._head(HTTPStatus(answer.status), dict(answer.headers))
            if self.command == "GET":
                self._body(answer)
        finally:
            upstream.close()

    do_HEAD = do_GET

    def _head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, answer: http.client.HTTPResponse) -> None:
        if "/blobs/" not in self.path:
            self.wfile.write(answer.read())
            return
        self.server.downloads += 1
        try:
            while chunk := answer.read(_CHUNK):
                self.wfile.write(chunk)
                self._wait(answer.length or 0)
        finally:
            self.server.downloads -= 1

    def _wait(self, left: int) -> None:
        """Configurations of images are small, and never late."""
        if left and self.server.rate:
            time.sleep(_CHUNK / self.server.rate)
        if left:
            self.server.flows.wait()


@contextmanager
def running_registry() -> Iterator[Registry]:
    """Afterwards nothing of it runs, and none of its files is there."""
    directory = Path(tempfile.mkdtemp(prefix="quaderno-registry-"))
    port = free_ports()
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    (directory / "config.yml").write_text(yaml.safe_dump(settings))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")], stdout=log, stderr=log
        )
    try:
        with serving(Registry(port)) as registry:
            wait_for(lambda: _answers(port), 60, "the registry's answer")
            yield registry
            registry.behave()
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(directory)


def _answers(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/v2/", trust_env=False).is_success
    return False


def push_image(registry: Registry, name: str, size: int) -> str:
    """Put an image with a layer of `size` random bytes there; the reference to pull it by.

    The engine that built it keeps no copy.
    """
    engine = docker.from_env()
    behind = f"127.0.0.1:{registry.behind}/{name}"
    engine.images.build(
        fileobj=_context(size), custom_context=True, tag=behind, rm=True, forcerm=True
    )
    try:
        for event in engine.images.push(behind, stream=True, decode=True):
            assert "error" not in event, event
    finally:
        engine.images.remove(behind, force=True)
    return f"{registry.address}/{name}"


def _context(size: int) -> io.BytesIO:
    files = {
        "Dockerfile": _DOCKERFILE.encode(),
        "server.pl": _SERVER.encode(),
        "layer": os.urandom(size),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for file, content in files.items():
            entry = tarfile.TarInfo(file)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return packed
