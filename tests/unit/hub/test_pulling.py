"""Pulls from an engine that follows a script: each answer is a function that gives it."""

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient

from quaderno.hub import pulling
from quaderno.hub.failures import StartFailure
from quaderno.hub.progress import Progress

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
LOG = logging.getLogger("test-of-pulls")
MB = 10**6
GOES = {"id": "a", "status": "Downloading", "progressDetail": {"current": MB, "total": 2 * MB}}
WAITS = {"id": "b", "status": "Waiting"}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "BACK_OFF", (0, 0, 0))


class Engine:
    """Gives one answer after the other to requests for a pull; has every image then."""

    def __init__(self, socket: Path, *answers: Answer) -> None:
        self.client = APIClient(base_url=f"unix://{socket}", version="1.41")
        self.requests: list[str] = []
        self._socket = socket
        self._answers = list(answers)
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Engine":
        self._server = await asyncio.start_unix_server(self._accept, self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self.left()
        self.client.close()

    async def left(self) -> None:
        """Until nobody is connected."""
        await asyncio.wait_for(asyncio.gather(*self._serving), 60)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.requests.append(head.splitlines()[0])
                pulls = head.startswith("POST")
                answer = self._answers.pop(0) if pulls else refusal(200, "here it is")
                await answer(reader, writer)
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()


def refusal(status: int, message: str) -> Answer:
    """An answer before any event."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"message": message}).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)

    return write


def events(*said: dict[str, Any], forever: bool = False) -> Answer:
    """A stream of events; `forever` is one that then says nothing more, and does not end."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in said:
            writer.write(_chunk(event))
        await writer.drain()
        if forever:
            await reader.read()  # until the hub hangs up
        else:
            writer.write(b"0\r\n\r\n")

    return write


def _chunk(event: dict[str, Any]) -> bytes:
    line = json.dumps(event).encode() + b"\r\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


async def restarts(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An engine that ends in the middle of an answer."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _chunk(GOES))
    await writer.drain()
    writer.close()


async def _pull(engine: Engine, steps: Progress, patience: float = 60) -> None:
    await pulling.pull(engine.client, "r/x:1", steps, LOG, stall_timeout=patience)


async def _said(steps: Progress) -> list[str]:
    """The whole story, for a page that comes late."""
    steps.done(pulling.STEP)
    messages: list[str] = []
    async with aclosing(steps.events()) as events:
        async for event in events:
            messages.append(event["message"])
            if event["state"] == "done":
                break
    return messages


def test_what_may_pass_is_tried_again_in_the_same_start(tmp_path: Path) -> None:
    async def scenario() -> tuple[list[str], list[str]]:
        unavailable = refusal(500, "received unexpected HTTP status: 503 Service Unavailable")
        lost = events(GOES, {"errorDetail": {"message": "unexpected EOF"}, "error": "EOF"})
        steps = Progress()
        async with Engine(tmp_path / "e", unavailable, lost, restarts, events(GOES)) as engine:
            await _pull(engine, steps)
        return engine.requests, await _said(steps)

    requests, said = asyncio.run(scenario())
    pulls = [line for line in requests if line.startswith("POST")]
    assert pulls == ["POST /v1.41/images/create?fromImage=r%2Fx&tag=1 HTTP/1.1"] * 4
    notes = [line for line in said if "trying again" in line]
    assert notes == [
        "The registry reports an error of its own; trying again in 0 s (2 of 4)",
        "The download of the image was interrupted; trying again in 0 s (3 of 4)",
        "The container engine does not answer; trying again in 0 s (4 of 4)",
    ]


@pytest.mark.parametrize(
    ("answers", "sentence", "tries"),
    [
        ([refusal(404, "manifest unknown")], "does not exist, or may not be pulled. Check", 1),
        ([events({"error": "no space left on device"})], "no disk space left", 1),
        ([refusal(500, "429 Too Many Requests")] * 4, "how much may be pulled (tried 4 times).", 4),
    ],
)
def test_what_cannot_be_is_said(
    tmp_path: Path, answers: list[Answer], sentence: str, tries: int
) -> None:
    async def scenario() -> int:
        async with Engine(tmp_path / "e", *answers) as engine:
            with pytest.raises(StartFailure) as failure:
                await _pull(engine, Progress())
        assert sentence in failure.value.jupyterhub_message
        return len(engine.requests)

    assert asyncio.run(scenario()) == tries


def test_an_engine_that_is_away_is_said(tmp_path: Path) -> None:
    client = APIClient(base_url=f"unix://{tmp_path / 'none'}", version="1.41")
    with pytest.raises(StartFailure) as failure:
        asyncio.run(pulling.pull(client, "x:1", Progress(), LOG, stall_timeout=60))
    assert "The container engine does not answer" in failure.value.jupyterhub_message


@pytest.mark.parametrize(
    ("said", "sentence", "patience"),
    [([GOES], "has stopped moving", 5), ([], "The registry does not answer", 0.05)],
    ids=["half way", "at once"],
)
def test_what_does_not_move_is_given_up(
    tmp_path: Path,
    said: list[dict[str, Any]],
    sentence: str,
    patience: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After two tries: each has to be long enough to hear what was said."""
    monkeypatch.setattr(pulling, "BACK_OFF", (0,))

    async def scenario() -> None:
        async with Engine(tmp_path / "e", *[events(*said, forever=True)] * 2) as engine:
            with pytest.raises(StartFailure) as failure:
                await _pull(engine, Progress(), patience)
        assert sentence in failure.value.jupyterhub_message

    asyncio.run(scenario())


def test_a_queued_pull_waits_as_long_as_another_moves(tmp_path: Path) -> None:
    async def scenario() -> list[str]:
        finished = asyncio.Event()

        async def queues(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            writer.write(_chunk(WAITS))
            await finished.wait()
            writer.write(b"0\r\n\r\n")

        async def moves(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for size in range(16):
                detail = {"current": MB + size, "total": 2 * MB}
                writer.write(_chunk(GOES | {"progressDetail": detail}))
                await asyncio.sleep(0.5)  # all of it takes longer than the other's patience
            finished.set()
            writer.write(b"0\r\n\r\n")

        async with (
            Engine(tmp_path / "1", queues) as queue,
            Engine(tmp_path / "2", moves) as moving,
        ):
            await asyncio.gather(_pull(queue, Progress(), 6), _pull(moving, Progress(), 6))
        return queue.requests

    assert sum(line.startswith("POST") for line in asyncio.run(scenario())) == 1


def test_a_cancelled_pull_hangs_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        steps = Progress()
        async with Engine(tmp_path / "e", events(GOES, forever=True)) as engine:
            started = asyncio.create_task(_pull(engine, steps))
            async with aclosing(steps.events()) as said:
                async for event in said:
                    if "percent" in event:
                        break
            started.cancel()
            with pytest.raises(asyncio.CancelledError):
                await started
            await engine.left()

    asyncio.run(scenario())


def test_the_hubs_own_credentials_are_for_their_registry_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".docker").mkdir()
    known = {"r.example.org": {"auth": base64.b64encode(b"hub:secret").decode()}}
    (tmp_path / ".docker" / "config.json").write_text(json.dumps({"auths": known}))
    client = APIClient(base_url=f"unix://{tmp_path / 'none'}", version="1.41")
    header = pulling._credentials(client, "r.example.org/x")["X-Registry-Auth"]
    assert json.loads(base64.urlsafe_b64decode(header))["password"] == "secret"
    assert pulling._credentials(client, "other.example.org/x") == {}


def test_an_engine_at_an_address_is_asked_there() -> None:
    client = APIClient(base_url="tcp://engine.example.org:2375", version="1.41")
    assert str(pulling.connection(client).base_url) == "http://engine.example.org:2375/v1.41/"
