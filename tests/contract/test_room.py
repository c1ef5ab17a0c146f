"""Servers that wait in line on the real engine, where there is room for one."""

import asyncio
from collections.abc import Iterator
from contextlib import closing

import docker
import pytest

from quaderno.hub.failures import StartFailure
from quaderno.images.parent import ensure_parent
from tests.contract.starts_fixtures import LEAST_MEMORY, SERVES, Starts, running_starts, told

LITTLE = 1e-9  # of the machine's memory: the first server fits anywhere


@pytest.fixture(scope="module")
def starts(container_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    scratch = tmp_path_factory.mktemp("parent")
    with closing(docker.from_env()) as engine:
        ensure_parent(engine, scratch / "log", scratch)
    with running_starts(tmp_path_factory.mktemp("r")) as starts:
        room = starts.config.servers.room.model_copy(update={"memory": LITTLE})
        servers = starts.config.servers.model_copy(update={"room": room})
        starts.config = starts.config.model_copy(update={"servers": servers})
        yield starts


def test_starts_wait_in_line_and_go_as_soon_as_there_is_room(starts: Starts) -> None:
    image = starts.build(["perl", "-e", SERVES])
    options = {"memory": LEAST_MEMORY, "wait": True}
    first, second, third, fourth = (starts.spawner(name) for name in ("", "b", "c", "d"))
    starts.start(first, image, **options)
    for spawner in (second, third, fourth):
        starts.begin(spawner, image, **options)

    async def line() -> None:
        starting = []
        for spawner, place in ((second, 1), (third, 2), (fourth, 3)):
            starting.append(asyncio.create_task(spawner.start()))
            await asyncio.wait_for(told(spawner, f"place {place} of {place} in line"), 60)
        assert first.free().endswith("3 starts wait for room.")
        starting[1].cancel()
        await asyncio.wait([starting[1]])
        await asyncio.wait_for(told(fourth, "place 2 of 2 in line"), 60)
        await first.stop()
        first.server = None
        await first.run_post_stop_hook()
        await asyncio.wait_for(starting[0], 120)
        assert not starting[2].done(), "there is room for one"
        starting[2].cancel()
        await asyncio.wait([starting[2]])

    try:
        starts.runner.run(line())
        assert starts.runner.run(first.poll()) == 0
        assert starts.runner.run(second.poll()) is None
        impatient = starts.spawner("e")
        with pytest.raises(StartFailure) as failed:
            starts.start(impatient, image, memory=LEAST_MEMORY)
        assert failed.value.reason == "no_room"
        starts.end(impatient)
    finally:
        for spawner in (first, second, third, fourth):
            starts.end(spawner)
    assert starts.leftovers() == []
