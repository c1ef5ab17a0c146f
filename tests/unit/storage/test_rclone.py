"""What the remote control makes of answers that rclone ought not to give."""

import asyncio
import os
from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno.errors import StorageError
from quaderno.storage import mounts
from quaderno.storage.rclone import Rclone


async def answers_of(plan: mounts.MountPlan, status: str, body: str) -> str:
    """The error, in words, when something answers so on the socket of `plan`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, plan.socket):
        rclone = Rclone(plan, os.getpid(), None)
        assert not await rclone.answers()
        with pytest.raises(StorageError) as error:
            await rclone.call("core/pid")
        return error.value.message


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        ("502 Bad Gateway", "<html>", "502"),
        ("200 OK", "", "no JSON"),
        ("200 OK", "[1]", "no JSON"),
        ("500 Oops", '{"error": "no such command"}', "core/pid: no such command"),
        ("500 Oops", "{}", "500"),
    ],
)
def test_nonsense_is_an_error_of_the_storage(
    tmp_path: Path, status: str, body: str, said: str
) -> None:
    plan = mounts.plan(configuration.generate(tmp_path), "alice")
    plan.state.mkdir(parents=True)
    assert said in asyncio.run(answers_of(plan, status, body))
