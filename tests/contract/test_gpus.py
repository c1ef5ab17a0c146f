"""Servers with GPUs on a real engine, which has none to give."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import docker
import pytest

from quaderno.config.choices import GpuChoice
from quaderno.hub import options
from quaderno.hub.failures import StartFailure
from quaderno.images.parent import ensure_parent
from tests.contract.starts_fixtures import SERVES, Starts, known, running_starts, told


@pytest.fixture(scope="module")
def starts(container_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    """An operator has said that there are two."""
    scratch = tmp_path_factory.mktemp("parent")
    with closing(docker.from_env()) as engine:
        ensure_parent(engine, scratch / "log", scratch)
    with running_starts(tmp_path_factory.mktemp("g")) as starts:
        update = {"gpu": GpuChoice(devices=["0", "1"])}
        servers = starts.config.servers.model_copy(update=update)
        starts.config = starts.config.model_copy(update={"servers": servers})
        yield starts


def test_an_engine_that_cannot_give_a_gpu_is_named_at_once(starts: Starts) -> None:
    ada = starts.spawner()
    try:
        with pytest.raises(StartFailure) as failed:
            starts.start(ada, starts.build(["perl", "-e", SERVES]), gpu=1)
        assert failed.value.reason == "gpu_refused"
        assert "Start without a GPU" in failed.value.jupyterhub_message
        assert failed.value.tries == 1
        (asked,) = starts.engine.api.inspect_container(ada.object_name)["HostConfig"][
            "DeviceRequests"
        ]
        assert (asked["DeviceIDs"], asked["Capabilities"]) == (["0"], [["gpu"]])
    finally:
        starts.end(ada)
    assert ada.gpus == ()


def test_each_gpu_is_one_servers_and_others_wait_in_a_line_of_their_own(starts: Starts) -> None:
    one, two, three, none = (starts.spawner(name) for name in ("", "b", "c", "d"))

    def chosen(gpu: int, *, wait: bool = False) -> options.ServerOptions:
        return options.ServerOptions("lab:1", 1, 2**30, gpu, wait)

    async def story() -> None:
        await known(one)
        await one.wait_for_room(chosen(1))
        assert one.gpus == ("0",)
        with pytest.raises(StartFailure) as failed:
            await two.wait_for_room(chosen(2))
        assert failed.value.reason == "no_gpu"
        assert (
            "There is no GPU for this server now: 1 of 2 is free."
            in failed.value.jupyterhub_message
        )
        waits = asyncio.create_task(two.wait_for_room(chosen(2, wait=True)))
        await asyncio.wait_for(told(two, "place 1 of 1 in line for a GPU"), 60)
        with pytest.raises(StartFailure) as failed:
            await three.wait_for_room(chosen(1))
        assert "1 start waits for some" in failed.value.jupyterhub_message
        await none.wait_for_room(chosen(0))  # it needs none, and waits for nobody
        assert [c.busy for c in one.offer().gpus] == [False, True, True]
        assert "1 of 2 GPUs" in one.free()

        assert starts.spawner().gpus == ("0",), "of a hub that was restarted"
        one.server = None
        await one.run_post_stop_hook()
        await asyncio.wait_for(waits, 60)
        assert two.gpus == ("0", "1")

    for spawner in (one, two, three, none):
        starts.begin(spawner, "lab:1", gpu=1)
    try:
        starts.runner.run(story())
    finally:
        for spawner in (one, two, three, none):
            starts.end(spawner)


def test_whoever_asks_for_more_than_there_are_is_told(starts: Starts) -> None:
    ada: Any = starts.spawner()
    try:
        with pytest.raises(StartFailure) as failed:
            starts.start(ada, "lab:1", gpu=3)
        assert "gpu must be a whole number from 0 to 2, not “3”." in failed.value.jupyterhub_message
    finally:
        starts.end(ada)
