"""What a look sends when the lease ends in the middle of it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from quaderno import config as configuration
from quaderno.storage import health, mounts, rescued, uploads
from quaderno.storage.health import Refused
from quaderno.storage.keys import HubKeys
from quaderno.storage.mounts import MountPlan
from quaderno.storage.rclone import Call
from quaderno.storage.states import State
from quaderno.storage.strays import Strays
from quaderno.storage.watch import Watch

CONFIG = configuration.generate(Path("/q"))


class Rclone:
    """Has one upload that is held, and one that has failed."""

    def __init__(self) -> None:
        self.started: list[int] = []

    async def call(self, command: str, *, within: float = 0, **parameters: Any) -> dict[str, Any]:
        assert within >= 0
        if command == "vfs/queue-set-expiry":
            self.started.append(parameters["id"])
        if command != "vfs/queue" or not parameters["fs"].startswith("home"):
            return {}
        common = {"size": 1, "uploading": False}
        held = common | {"name": "held", "id": 1, "tries": 0, "expiry": uploads.HELD}
        failed = common | {"name": "failed", "id": 2, "tries": 1, "expiry": 60.0}
        return {"queue": [held, failed]}

    async def batch(self, calls: Sequence[Call], *, within: float) -> list[dict[str, Any]]:
        return [await self.call(command, within=within, **of) for command, of in calls]


class Store:
    """Takes everything."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def put(self, _bucket: str, key: str, _path: Path) -> None:
        self.taken.append(Path(key).name)


@pytest.fixture
def plan(tmp_path: Path) -> MountPlan:
    return mounts.plan(configuration.generate(tmp_path), "alice")


def answers(*said: bool) -> Callable[[], bool]:
    """These, and then the last one for ever."""
    left: Iterator[bool] = iter(said)
    return lambda: next(left, said[-1])


def look(watch: Watch, rclone: Rclone, may_send: Callable[[], bool]) -> None:
    asyncio.run(watch.look(rclone, may_send=may_send))  # type: ignore[arg-type]


@pytest.fixture
def watch(plan: MountPlan, monkeypatch: pytest.MonkeyPatch) -> Watch:
    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(Watch, "_return_strays", nothing)
    monkeypatch.setattr(Watch, "_look_at_disk", lambda _: None)
    monkeypatch.setattr(Watch, "_enforce", lambda *_: "")
    watch = Watch(CONFIG, HubKeys(CONFIG, httpx.AsyncClient()), plan)
    monkeypatch.setattr(watch.quota, "look", lambda *_, **__: None)
    return watch


@pytest.mark.parametrize(
    ("said", "started"),
    [
        ([True], [1, 2]),
        ([False], []),
        ([True, False], []),  # it ended while strays were returned
        ([True, True, False], [1]),
    ],
)
def test_a_lease_that_ends_during_a_look_has_nothing_more_sent(
    watch: Watch, said: list[bool], started: list[int]
) -> None:
    rclone = Rclone()
    look(watch, rclone, answers(*said))
    assert rclone.started == started


def test_a_look_that_had_to_wait_asks_when_it_begins(watch: Watch) -> None:
    rclone, confirmed = Rclone(), True

    async def run() -> None:
        nonlocal confirmed
        async with watch._looking:
            later = asyncio.create_task(
                watch.look(rclone, may_send=lambda: confirmed)  # type: ignore[arg-type]
            )
            await asyncio.sleep(0)
            confirmed = False
        await later

    asyncio.run(run())
    assert rclone.started == []


def test_a_lost_change_that_is_refused_is_named_and_stops_nobody(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Refused("cloud_storage/alice/file", "The object store refused to take it (No).")
    monkeypatch.setattr(Strays, "refused", (refused,))
    look(watch, Rclone(), answers(True))
    level, message = health.judge(State.READY, watch.figures)
    assert level is health.Level.ERROR
    assert message.startswith("cloud_storage/alice/file: The object store refused to take it (No).")
    assert not watch.figures.read_only


def test_rescued_files_of_the_node_are_not_in_the_store(plan: MountPlan) -> None:
    """So nothing is unmounted, and no other node told that all was sent, before they are."""
    for file in (plan.rescued / "2030" / "alice" / "file", plan.strays / "alice" / "other"):
        file.parent.mkdir(parents=True)
        file.write_text("work")
    watch = Watch(CONFIG, HubKeys(CONFIG, httpx.AsyncClient()), plan)
    unsent = asyncio.run(watch.unsent())
    assert (unsent.files, unsent.bytes) == (2, 8)


def test_rescued_files_are_delivered_as_long_as_the_lease_is_there(plan: MountPlan) -> None:
    for name in ("1", "2", "3"):
        file = plan.rescued / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    store = Store()
    assert rescued.deliver(plan, store, answers(True, False)) == 1  # type: ignore[arg-type]
    assert store.taken == ["1"]
    assert [path.name for path in rescued.waiting(plan)] == ["2", "3"]
