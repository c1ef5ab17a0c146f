"""A container engine that takes requests and does not answer, for as long as a test likes.

It stands before the real one, whose answers it holds back. Like an engine that was stopped in the
middle of its work, it has done what it was asked when it answers at last.
"""

import shutil
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quaderno.config import Config
from tests.serving import serving

_REAL = "/var/run/docker.sock"


class HeldEngine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers at first."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Connection)
        path.chmod(0o666)
        self.address = f"unix://{path}"
        self.asked = 0  # connections since it has answered last
        self._open = threading.Event()
        self._open.set()

    def hold(self) -> None:
        self.asked = 0
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def passes(self) -> None:
        """Waits until answers may go."""
        self._open.wait()


class _Connection(socketserver.BaseRequestHandler):
    server: HeldEngine

    def handle(self) -> None:
        self.server.asked += 1
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(_REAL)
            questions = threading.Thread(target=_pump, args=(self.request, engine), daemon=True)
            questions.start()
            _pump(engine, self.request, self.server)
            questions.join()


def _pump(source: socket.socket, target: socket.socket, gate: HeldEngine | None = None) -> None:
    try:
        while data := source.recv(65536):
            if gate:
                gate.passes()
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # one side is gone
        for end in (source, target):
            _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


@contextmanager
def held_engine(path: Path) -> Iterator[HeldEngine]:
    """Listens at `path`, which programs find as DOCKER_HOST in its `address`."""
    with serving(HeldEngine(path)) as engine:
        try:
            yield engine
        finally:
            engine.release()
    path.unlink()


@contextmanager
def engine_of_the_hub(config: Config, address: str) -> Iterator[None]:
    """The hub asks the engine at `address` from its next start on, and all others the real one."""
    override = config.dir / "jupyterhub_config.d"
    override.mkdir()
    line = f"import os\nos.environ['DOCKER_HOST'] = {address!r}\n"
    (override / "engine.py").write_text(line)
    try:
        yield
    finally:
        shutil.rmtree(override)
