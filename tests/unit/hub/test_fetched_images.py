"""Images whose start was cancelled while they were fetched are cleaned up like all others."""

import asyncio
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import pytest
from docker.errors import NotFound, NullResource

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.hub import fetched_images, image_cleaning, own_images, pulling
from quaderno.hub.own_images import Use
from quaderno.hub.progress import Progress

IMAGE = "registry.example.org/large:1"
NOON = 1_800_000_000.0  # seconds since 1970


class EngineWithoutContainers:
    """Has the images that it is given, of a registry, by reference."""

    def __init__(self) -> None:
        self.images_here: dict[str, str] = {}

    def containers(self, **_: Any) -> list[Any]:
        return []

    def images(self) -> list[dict[str, Any]]:
        return [
            {
                "Id": identifier,
                "Size": 10**9,
                "RepoDigests": ["registry.example.org/large@sha256:1"],
            }
            for identifier in self.images_here.values()
        ]

    def inspect_image(self, reference: str) -> dict[str, str]:
        if not reference:
            raise NullResource("image or container undefined")  # as docker-py
        if reference not in self.images_here:
            raise NotFound("no such image")
        return {"Id": self.images_here[reference]}

    def remove_image(self, identifier: str) -> None:
        self.images_here = {k: v for k, v in self.images_here.items() if v != identifier}

    @property
    def client(self) -> docker.APIClient:
        return cast("docker.APIClient", self)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "hub").mkdir()
    config = quaderno_config.generate(tmp_path)
    servers = config.servers.model_copy(update={"own_images_size": 1})
    return config.model_copy(update={"servers": servers})


@pytest.fixture
def engine(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineWithoutContainers]:
    """In which a start has begun to fetch IMAGE at noon, and was cancelled."""

    async def cancelled(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(pulling, "pull", cancelled)
    engine = EngineWithoutContainers()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(_pull(config, engine, IMAGE))
    for path in notes(config):
        os.utime(path, (NOON, NOON))
    yield engine


async def _pull(config: Config, engine: EngineWithoutContainers, image: str) -> None:
    log = logging.getLogger("test-of-fetched-images")
    await fetched_images.pull(config, engine.client, image, Progress(), log)


def notes(config: Config) -> list[Path]:
    return list((config.dir / "hub" / "fetched-images").glob("*"))


def clean(config: Config, engine: EngineWithoutContainers, now: float) -> dict[str, Use]:
    image_cleaning.clean(config, engine.client, now, set())
    return image_cleaning.read(own_images.register_file(config))


def test_what_comes_after_its_start_was_cancelled_goes_when_it_is_too_much(
    config: Config, engine: EngineWithoutContainers
) -> None:
    assert clean(config, engine, NOON + 60) == {}
    engine.images_here = {IMAGE: "sha256:large"}
    known = {"sha256:large": Use(IMAGE, NOON)}
    assert clean(config, engine, NOON + 120) == known
    assert engine.images_here, "its container may be about to be created"
    assert clean(config, engine, NOON + 180) == known
    assert engine.images_here == {}
    assert clean(config, engine, NOON + 240) == {}


def test_a_later_use_is_what_counts(config: Config, engine: EngineWithoutContainers) -> None:
    engine.images_here = {IMAGE: "sha256:large"}
    later = {"sha256:large": Use(IMAGE, NOON + 1)}
    own_images.register_file(config).write_text(own_images.dump(later))
    assert clean(config, engine, NOON + 60) == later


def test_what_never_comes_is_forgotten(config: Config, engine: EngineWithoutContainers) -> None:
    clean(config, engine, NOON + 3600)
    assert len(notes(config)) == 1
    clean(config, engine, NOON + 100_000)
    assert notes(config) == []


@pytest.mark.parametrize("left", [b"", b"\xff"])
def test_a_note_that_says_nothing_keeps_no_other_from_being_looked_at(
    config: Config, engine: EngineWithoutContainers, left: bytes
) -> None:
    engine.images_here = {IMAGE: "sha256:large"}
    empty = config.dir / "hub" / "fetched-images" / "0"
    empty.write_bytes(left)
    os.utime(empty, (NOON, NOON))
    assert clean(config, engine, NOON + 60) == {"sha256:large": Use(IMAGE, NOON)}
    clean(config, engine, NOON + 100_000)
    assert notes(config) == []


def test_a_full_disk_leaves_no_note_that_says_nothing(
    config: Config, engine: EngineWithoutContainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, *_: Any, **__: Any) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    before = notes(config)
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(asyncio.CancelledError):  # the start itself goes on
        asyncio.run(_pull(config, engine, "registry.example.org/other:1"))
    assert notes(config) == before


def test_the_catalogue_needs_no_note(config: Config, engine: EngineWithoutContainers) -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(_pull(config, engine, config.servers.images[0].reference))
    assert len(notes(config)) == 1
