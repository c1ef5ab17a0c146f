import asyncio
import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from quaderno.config import Config
from quaderno.hub.spawner_docker import QuadernoDockerSpawner


@pytest.fixture
def spawner(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A spawner whose engine is away."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.setattr(QuadernoDockerSpawner, "_client", None)
    monkeypatch.setattr(QuadernoDockerSpawner, "object_name", "q123abc-ada", raising=False)
    yield QuadernoDockerSpawner(quaderno=config)
    with warnings.catch_warnings():  # of sockets that the engine's client leaves when it fails
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


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
