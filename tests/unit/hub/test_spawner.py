import asyncio
import re
import socket
from types import SimpleNamespace
from typing import Any

import docker
import httpx
import jinja2
import pytest

from quaderno.config import Config
from quaderno.hub import TEMPLATES, image_check, image_sizes, options
from quaderno.hub.preflight import NO_ANSWER
from quaderno.hub.spawner_docker import QuadernoDockerSpawner
from tests.ports import free_ports


@pytest.fixture
def spawner(config: Config, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A spawner whose engine is away."""
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{free_ports()}")
    monkeypatch.setattr(QuadernoDockerSpawner, "_client", None)
    monkeypatch.setattr(QuadernoDockerSpawner, "object_name", "q123abc-ada", raising=False)
    return QuadernoDockerSpawner(quaderno=config)


def test_an_engine_that_does_not_answer_means_unknown(spawner: Any) -> None:
    """JupyterHub would forget a server that it believes stopped."""
    spawner.object_id = "1234"
    assert asyncio.run(spawner.poll()) is None


def test_a_server_that_was_never_created_does_not_run(spawner: Any) -> None:
    assert asyncio.run(spawner.poll()) == 0


def test_a_stop_gives_up_rather_than_forget(spawner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quaderno.hub.spawner_docker._ENGINE_PATIENCE", 0)
    with pytest.raises(docker.errors.DockerException):
        asyncio.run(spawner.stop())


def test_an_engine_that_hangs_keeps_nobody_waiting_who_asks_about_an_image(
    config: Config, spawner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")

        def check(within: float) -> Any:
            return image_check.check(config, spawner.engine_client, "lab/a:1", within)

        async def ask() -> None:
            asking = asyncio.create_task(check(60))
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            assert not asking.done(), "the hub goes on meanwhile"
            connection.close()
            assert await asyncio.wait_for(asking, 30) == NO_ANSWER, "the engine hung up"
            assert await asyncio.wait_for(check(0.1), 30) == NO_ANSWER, "it says nothing"

        asyncio.run(ask())


def test_where_the_local_files_are_is_remembered(config: Config, spawner: Any) -> None:
    assert spawner.local_elsewhere() == "", "there are none"
    spawner.local_is_here()
    assert spawner.local_elsewhere() == ""
    spawner.clear_state()
    state = spawner.get_state()
    other = config.model_copy(update={"node": "another-machine"})
    later = QuadernoDockerSpawner(quaderno=other)
    later.load_state(state)
    assert later.local_elsewhere() == config.node_name
    page = start_page(later)
    assert "on this machine (another-machine) only" in page
    assert f"Your files of last time are on {config.node_name}</strong>, and not here." in page
    later.local_is_here()
    assert later.local_elsewhere() == ""
    assert "of last time" not in start_page(later)


def test_images_of_ones_own_are_suggested_again_the_last_first(
    config: Config, spawner: Any
) -> None:
    assert "<datalist" not in start_page(spawner)
    for image in ("lab/a:1", "lab/b:1", config.servers.images[0].reference, "lab/a:1"):
        spawner.remember_image(image)
    spawner.clear_state()
    later = QuadernoDockerSpawner(quaderno=config)
    later.load_state(spawner.get_state())
    suggested = re.findall(r'<option value="(lab/[^"]*)">', start_page(later))
    assert suggested == ["lab/a:1", "lab/b:1"]
    for number in range(9):
        later.remember_image(f"lab/c:{number}")
    assert len(re.findall(r'<option value="lab/', start_page(later))) == 5


def start_page(spawner: Any) -> str:
    """What its main part says."""
    pages = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    template = pages.get_template("spawn.html")
    ada = SimpleNamespace(name="ada")
    spawner.offer = lambda: options.offer(spawner.quaderno, {})
    context = template.new_context({"spawner": spawner, "user": ada, "for_user": ada})
    return " ".join("".join(template.blocks["main"](context)).split())


def test_a_link_to_the_choices_is_on_the_form(spawner: Any) -> None:
    page = start_page(spawner)
    link = re.search(r'id="link"[^>]* value="([^"]*)"', page)
    assert link
    assert link[1].endswith("spawn?opt-image=base&amp;opt-cpu=1&amp;opt-memory=2G")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, " (1 GB, here)"),
        (404, " (not here yet)"),
        (500, ""),
    ],
)
def test_the_form_says_how_large_an_image_is(
    config: Config, spawner: Any, monkeypatch: pytest.MonkeyPatch, status: int, words: str
) -> None:
    answer = httpx.Response(status, json={"Size": 2**30})
    engine = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: answer), base_url="http://engine"
    )
    monkeypatch.setattr("quaderno.hub.pulling.connection", lambda _: engine)
    sizes = image_sizes.Sizes()
    reference = config.servers.images[0].reference
    asyncio.run(sizes.look(docker.APIClient("tcp://127.0.0.1:9", version="1.41"), [reference]))
    monkeypatch.setattr(QuadernoDockerSpawner, "_sizes", sizes)
    assert f"scientific Python{words}</option>" in start_page(spawner)
