"""Starts that fail in each way, or only seem to, on the real engine: named at once, and cleared."""

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from quaderno.hub import answering
from quaderno.hub.failures import StartFailure
from quaderno.hub.reconciler import Reconciler
from quaderno.hub.spawner_docker import QuadernoDockerSpawner
from quaderno.hub.turns import Turns
from quaderno.images.parent import ensure_parent
from tests.contract.starts_fixtures import (
    LEAST_MEMORY,
    MANY,
    SERVES,
    WHO,
    Starts,
    known,
    running_starts,
    told,
)
from tests.held_engine import held_engine
from tests.ports import free_ports

TOO_LITTLE = 2**20  # bytes of memory: no engine takes it
PATIENCE = 120  # seconds, of the service; no failure here takes as long
SAYS = (
    "echo preparing; echo notebook token=1234567890abcdef; echo $JUPYTERHUB_API_TOKEN;"
    "echo no notebook here >&2; exit 3"
)


@pytest.fixture(scope="module")
def starts(container_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    scratch = tmp_path_factory.mktemp("parent")
    with closing(docker.from_env()) as engine:
        ensure_parent(engine, scratch / "log", scratch)
    with running_starts(tmp_path_factory.mktemp("s")) as starts:
        starts.config.servers.memory.choices.append(TOO_LITTLE)
        yield starts


@pytest.fixture
def ada(starts: Starts) -> Iterator[Any]:
    """Her server; whatever a test did, nothing is left of it."""
    spawner = starts.spawner(http_timeout=PATIENCE)
    yield spawner
    starts.end(spawner)
    assert starts.leftovers() == []


@pytest.mark.parametrize(
    ("command", "options", "cause", "sentence"),
    [
        (["lab"], {}, "program_missing", "lacks the program that it says to start"),
        (["/no/lab"], {}, "program_missing", "lacks the program that it says to start"),
        (["sh", "-c", SAYS], {}, "crashed", "ended with code 3 instead of starting"),
        (
            ["perl", "-e", '$x = "x" x 200e6; sleep 3600'],
            {"memory": LEAST_MEMORY},
            "out_of_memory",
            "needed more memory than it was given while starting (30 MB). Choose more memory.",
        ),
        (None, {}, "architecture", "another kind of processor"),
        ([], {}, "no_program", "says no program to start"),
    ],
    ids=["no such program", "no such file", "crash", "memory", "architecture", "no program"],
)
def test_a_start_that_cannot_succeed_is_named_at_once(
    starts: Starts,
    ada: Any,
    command: list[str] | None,
    options: dict[str, Any],
    cause: str,
    sentence: str,
) -> None:
    image = starts.foreign() if command is None else starts.build(command)
    began = time.monotonic()
    with pytest.raises(StartFailure) as failed:
        starts.start(ada, image, **options)
    assert time.monotonic() - began < PATIENCE / 2, "not at the time-out"
    failure = failed.value
    assert failure.reason == cause
    assert sentence in failure.jupyterhub_message
    assert not failure.retry_helps
    if cause == "crashed":
        # Two pipes, in whatever order.
        assert sorted(failure.lines.splitlines()) == sorted(
            ["preparing", "notebook token=[hidden]", "[hidden]", "no notebook here"]
        )
        assert "no notebook here" in failure.log_message
        assert failure.jupyterhub_message.endswith(f"What the server said last:\n{failure.lines}")


def test_less_memory_than_the_engine_gives_is_named_by_its_words(starts: Starts, ada: Any) -> None:
    with pytest.raises(StartFailure) as failed:
        starts.start(ada, starts.build(["perl", "-e", SERVES]), memory=TOO_LITTLE)
    assert failed.value.reason == "engine_refused"
    assert "refused to start this server. Choose other" in failed.value.jupyterhub_message
    assert "Minimum memory limit" in failed.value.log_message
    assert failed.value.tries == 1


def test_what_the_machine_does_not_have_is_refused_before_anything_is_made(
    starts: Starts, ada: Any
) -> None:
    starts.runner.run(known(ada))
    with pytest.raises(StartFailure) as failed:
        starts.start(ada, starts.build(["perl", "-e", SERVES]), cpu=MANY)
    assert failed.value.reason == "options"
    there_are = starts.engine.info()["NCPU"]
    assert f"cpu must be a number from 0.5 to {there_are}" in failed.value.jupyterhub_message


def test_a_server_that_does_nothing_is_given_up(starts: Starts, ada: Any) -> None:
    ada.http_timeout = 3
    with pytest.raises(StartFailure) as failed:
        starts.start(ada, starts.build(["sh", "-c", "echo waiting; exec sleep 3600"]))
    assert failed.value.reason == "slow"
    assert failed.value.lines == "waiting"
    assert failed.value.retry_helps


def test_a_server_that_works_in_vain_is_given_up_too(
    starts: Starts, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_LONGEST", 2)
    ada.http_timeout = 3
    with pytest.raises(StartFailure) as failed:
        starts.start(ada, starts.build(["perl", "-e", "while (1) {}"]))
    assert failed.value.reason == "no_answer"


def test_a_server_that_works_may_take_longer(starts: Starts, ada: Any) -> None:
    ada.http_timeout = 3
    busy = f"$t = time + 8; while (time < $t) {{}} {SERVES}"
    began = time.monotonic()
    where, port = starts.start(ada, starts.build(["perl", "-e", busy]))
    assert time.monotonic() - began > 6
    assert (where.count("."), port) == (3, 8888)


def test_a_server_begins_when_others_have_begun(
    starts: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether they have answered, take too long, or were given up."""
    image = starts.build(["perl", "-e", SERVES])
    hangs = starts.build(["sleep", "3600"])
    slow, fast, third = (starts.spawner(name) for name in ("slow", "fast", "third"))

    async def story(turns: Turns) -> None:
        monkeypatch.setattr(QuadernoDockerSpawner, "turns", turns)
        hanging = asyncio.create_task(slow.start())
        await asyncio.wait_for(told(slow, "Starting JupyterLab"), 60)
        waiting = [asyncio.create_task(each.start()) for each in (fast, third)]
        for each in (fast, third):
            await asyncio.wait_for(told(each, "Waiting for others"), 60)
        await asyncio.wait(waiting, timeout=60)
        assert [start.done() for start in (hanging, *waiting)] == [False, True, True]
        hanging.cancel()
        await asyncio.wait([hanging])

    try:
        for spawner, of in ((slow, hangs), (fast, image), (third, image)):
            starts.begin(spawner, of)
        starts.runner.run(story(Turns(1, longest=8)))
        assert starts.runner.run(fast.poll()) is None
        assert starts.runner.run(third.poll()) is None
    finally:
        for spawner in (slow, fast, third):
            starts.end(spawner)
    assert starts.leftovers() == []


def test_what_passes_is_tried_again_in_the_same_start(starts: Starts, ada: Any) -> None:
    starts.agent.errors = 1
    starts.start(ada, starts.build(["perl", "-e", SERVES]))

    async def first_note() -> str:
        async with aclosing(ada.progress()) as events:
            async for event in events:
                if event["state"] == "late":
                    return str(event["message"])
        raise AssertionError("it is never told")

    said = starts.runner.run(first_note())
    assert said.startswith("The storage agent of this machine does not answer; trying again in ")


def test_a_container_that_was_left_is_in_nobodys_way(starts: Starts, ada: Any) -> None:
    """As of a stop that the engine did not answer; and another network's, too."""
    image = starts.build(["perl", "-e", SERVES])
    starts.start(ada, image)
    left = starts.engine.containers.get(ada.object_name)
    again = starts.spawner()
    starts.start(again, image, memory="1G")
    found = starts.engine.containers.get(again.object_name)
    assert found.id != left.id
    assert found.status == "running"
    assert found.attrs["HostConfig"]["Memory"] == 2**30


def test_the_end_of_a_running_server_has_a_reason_that_outlives_the_hub(
    starts: Starts, ada: Any
) -> None:
    image = starts.build(["perl", "-e", SERVES])
    ip, port = starts.start(ada, image, memory="64M")
    assert starts.runner.run(ada.poll()) is None
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{ip}:{port}/grow", timeout=60)
    starts.engine.containers.get(ada.object_name).wait(timeout=300)
    assert starts.runner.run(ada.poll()) == "exit code 137, out of memory"
    starts.end(ada)
    notice = starts.spawner().notice()
    assert notice["lost"]
    said = re.search(
        r"memory than it had \(64 MB; .* peak was ([\d.]+) MB\)", notice["sentences"][0]
    )
    assert said
    assert 1 < float(said[1]) < 64, "of Perl, before it grew"


def test_a_hub_that_is_restarted_finds_the_server_that_was_starting(
    starts: Starts, ada: Any
) -> None:
    slowly = f"sleep 5; {SERVES}"
    starts.begin(ada, starts.build(["perl", "-e", slowly]))

    async def hub_ends_when_the_container_runs() -> None:
        start = asyncio.ensure_future(ada.start())
        await asyncio.sleep(0)  # until there are steps of this start
        async with aclosing(ada.progress()) as events:
            async for event in events:
                if event["step"] == "server":
                    break
        start.cancel()

    starts.runner.run(hub_ends_when_the_container_runs())
    next_hub = starts.spawner()
    assert starts.runner.run(next_hub.poll()) is None
    url = starts.runner.run(next_hub.get_url())
    assert url.endswith(f":8888/user/{WHO}/")
    assert httpx.get(url, timeout=60).text == "{}", "it has waited for it"


def test_a_stop_does_not_wait_for_a_server_that_a_restarted_hub_waits_for(
    starts: Starts, ada: Any
) -> None:
    starts.start(ada, starts.build(["perl", "-e", SERVES]))
    starts.engine.containers.get(ada.object_name).pause()

    async def stop() -> None:
        waiting = asyncio.ensure_future(ada.get_url())
        await asyncio.wait([waiting], timeout=1)
        assert not waiting.done()
        ada.abandon()
        assert await waiting
        assert ada.http_timeout < PATIENCE

    starts.runner.run(stop())


def test_a_hub_that_is_restarted_before_there_is_a_server_says_so(starts: Starts, ada: Any) -> None:
    starts.begin(ada, starts.build(["perl", "-e", SERVES]))

    async def hub_ends_at_once() -> None:
        start = asyncio.ensure_future(ada.start())
        await asyncio.sleep(0)
        assert ada.orm_spawner.state["starts"]
        start.cancel()

    starts.runner.run(hub_ends_at_once())
    next_hub = starts.spawner()
    assert starts.runner.run(next_hub.poll()) == 0
    starts.end(next_hub)
    assert "restarted while your server was starting" in starts.spawner().notice()["sentences"][0]


def test_a_restarted_hub_does_without_an_engine_that_does_not_answer(
    starts: Starts, ada: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = starts.start(ada, starts.build(["perl", "-e", SERVES]))
    ada.server.ip, ada.server.port = where  # as JupyterHub notes it
    monkeypatch.setattr(type(ada), "_client", None)
    with held_engine(tmp_path / "docker.sock") as engine:
        monkeypatch.setenv("DOCKER_HOST", engine.address)
        engine.hold()
        next_hub = starts.spawner(client_kwargs={"timeout": 2})
        next_hub.server = ada.server

        assert starts.runner.run(next_hub.poll()) is None, "it is not known to have stopped"
        assert starts.runner.run(next_hub.get_url()).endswith(f":8888/user/{WHO}/")
        assert engine.asked
        engine.release()
        assert starts.runner.run(next_hub.poll()) is None


@dataclass
class Server:
    """One that the hub knows, and whether it does anything."""

    active: bool


@dataclass
class Person:
    """As the hub holds her."""

    spawners: dict[str, Server]
    name: str = WHO


def reconciler(starts: Starts, *people: Person) -> Reconciler:
    return Reconciler(starts.config, dict(enumerate(people)), logging.getLogger("test"))


def test_what_no_server_uses_is_ended_in_the_second_look(starts: Starts, ada: Any) -> None:
    starts.start(ada, starts.build(["perl", "-e", SERVES]))
    before = starts.leftovers()
    assert len(before) == 3
    lost = reconciler(starts, Person({"": Server(active=False)}))
    starts.runner.run(lost.once())
    assert starts.leftovers() == before
    starts.runner.run(lost.once())
    assert starts.leftovers() == []


def test_what_a_server_uses_stays_and_nothing_is_ended_unknown(
    starts: Starts, ada: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts.start(ada, starts.build(["perl", "-e", SERVES]))
    before = starts.leftovers()
    known = reconciler(starts, Person({"": Server(active=True)}))
    for _ in range(3):
        starts.runner.run(known.once())
    assert starts.leftovers() == before
    forgotten = reconciler(starts)
    starts.runner.run(forgotten.once())
    with monkeypatch.context() as away:
        away.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_ports()}")
        starts.agent.errors = 1
        starts.runner.run(forgotten.once())
    starts.runner.run(forgotten.once())
    assert starts.leftovers() == before, "the looks before and after were not in a row"
