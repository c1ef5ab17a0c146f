"""What a living rclone may send while its mounts are not served."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from quaderno import config as configuration
from quaderno.errors import StorageError
from quaderno.storage import mounting, mounts, uploads
from quaderno.storage.keys import HubKeys
from quaderno.storage.lease_keeper import LeaseKeeper
from quaderno.storage.rclone import Call
from quaderno.storage.states import State, WaitingError
from quaderno.storage.user_mounts import UserMounts


class Rclone:
    """Its home is not mounted; a file was closed in the person's own scratch area."""

    def __init__(self) -> None:
        self.exited, self.held, self.due = asyncio.Event(), asyncio.Event(), 1.0
        self.pid = os.getpid()

    async def call(self, command: str, *, within: float = 0, **parameters: Any) -> dict[str, Any]:
        assert within >= 0
        if parameters["fs"].startswith("home"):
            raise StorageError(f"rclone: {command}: no VFS found")
        if command == "vfs/queue-set-expiry":
            self.due = parameters["expiry"]
            if self.due == uploads.HELD:
                self.held.set()
            return {}
        common = {"name": "f", "id": 1, "size": 1, "tries": 0, "uploading": False}
        return {"queue": [common | {"expiry": self.due}]}

    async def batch(self, calls: Sequence[Call], *, within: float) -> list[dict[str, Any]]:
        return [await self.call(command, within=within, **of) for command, of in calls]


@asynccontextmanager
async def waiting(
    directory: Path, monkeypatch: pytest.MonkeyPatch, *, confirmed: bool
) -> AsyncIterator[Rclone]:
    """Mounts that wait for the store, and the rclone that an earlier agent left."""
    rclone = Rclone()

    def giving(value: object) -> Callable[..., Any]:
        async def give(*_: object) -> object:
            if isinstance(value, Exception):
                raise value
            return value

        return give

    away = WaitingError(State.WAIT_S3, StorageError("The store is away"))
    monkeypatch.setattr(mounting, "adopt", giving(rclone))
    monkeypatch.setattr(mounting, "is_mounted", giving(False))
    monkeypatch.setattr(mounting, "prepare_store", giving(away))
    monkeypatch.setattr(LeaseKeeper, "confirmed", confirmed)
    config = configuration.generate(directory)
    (config.dir / "agent").mkdir(parents=True)
    async with httpx.AsyncClient() as client:
        user = UserMounts(config, HubKeys(config, client), mounts.plan(config, "alice"))
        user.servers = {"-"}
        user.run()
        await user.wait(60)
        assert user.state is State.WAIT_S3
        yield rclone
        user.detach()
        await asyncio.sleep(0)


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_file_closed_while_the_store_is_waited_for_is_held_without_a_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, confirmed: bool
) -> None:
    async def run() -> None:
        async with waiting(tmp_path, monkeypatch, confirmed=confirmed) as rclone:
            rclone.due = 1.0  # it has just been closed
            rclone.held.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(rclone.held.wait(), 0.9 if confirmed else 60)
            assert rclone.held.is_set() is not confirmed

    asyncio.run(run())
