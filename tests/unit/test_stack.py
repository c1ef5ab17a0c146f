"""What `down` says about uploads; all else of the stack is in the contract tests."""

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from quaderno import stack
from quaderno.config import Config, generate

STUCK = {"user": "ada", "state": "WAIT_KEYS", "reason": "Log in again.", "pending": {"files": 3}}
BUSY = {
    "user": "bob",
    "state": "DRAINING",
    "reason": "2 files are not uploaded",
    "pending": {"files": 2},
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return generate(tmp_path)


@contextlib.contextmanager
def agent(config: Config, **answers: Any) -> Iterator[threading.Event]:
    """An agent with given answers; /drain waits for the event."""
    drained = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(answers.get(self.path[1:], {})).encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            assert drained.wait(60)
            self.do_GET()

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            """Quiet."""

    config.agent_socket.parent.mkdir(parents=True)
    with socketserver.ThreadingUnixStreamServer(str(config.agent_socket), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield drained
        finally:
            drained.set()
            server.shutdown()
            thread.join()


def test_nobody_waits_for_uploads_that_cannot_happen(config: Config) -> None:
    said: list[str] = []
    with agent(config, drain={"drained": False, "pending": [STUCK]}) as drained:
        drained.set()
        stack._drain(config, said.append)
    assert said == [
        "Not uploaded: ada (3 files: Log in again); what is left continues at the next start"
    ]


def test_uploads_are_counted_while_they_last(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "DRAIN_STEP", 0.02)
    said: list[str] = []
    with agent(config, users={"users": [BUSY]}, drain={"drained": True, "pending": []}) as drained:

        def progress(line: str) -> None:
            said.append(line)
            drained.set()

        stack._drain(config, progress)
    assert set(said) == {"Finishing uploads: bob (2 files)"}


def test_an_agent_that_does_not_answer_is_told_of(config: Config) -> None:
    said: list[str] = []
    stack._drain(config, said.append)
    (line,) = said
    assert line.startswith("The agent does not answer, so nobody waits for uploads")
