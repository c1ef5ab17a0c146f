"""Images that people's choices pulled are removed when they are too many, and no others."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from quaderno import config as configuration
from quaderno import stock
from quaderno.config import Config, Image
from quaderno.hub import image_cleaning, own_images, server
from tests.service.registry import push_image, running_registry

NAMES = ("old", "new", "catalogue", "foreign")


@pytest.fixture(scope="module")
def references(engine: docker.DockerClient) -> Iterator[dict[str, str]]:
    """Images that were pulled from a registry, by name."""
    pulled: dict[str, str] = {}
    try:
        with running_registry() as registry:
            for name in NAMES:
                pulled[name] = push_image(registry, f"{name}:1", 1000)
                engine.images.pull(pulled[name])
        yield pulled
    finally:
        for name in present(engine, pulled):
            engine.images.remove(pulled[name], force=True)


def present(engine: docker.DockerClient, references: dict[str, str]) -> set[str]:
    found = set()
    for name, reference in references.items():
        try:
            engine.images.get(reference)
        except ImageNotFound:
            continue
        found.add(name)
    return found


@contextmanager
def running(engine: docker.DockerClient, config: Config, image: str) -> Iterator[None]:
    """Anna's server; to the engine, a container is a container."""
    name = f"quaderno-test-{secrets.token_hex(4)}"
    labels = server.labels(config, "anna", "")
    container = engine.containers.create(image, name=name, labels=labels)
    yield
    container.remove(force=True)


def new_config(directory: Path, catalogue: str) -> Config:
    config = configuration.generate(directory)
    (directory / "hub").mkdir()
    image = Image(name="c", display_name="Catalogue", reference=catalogue)
    servers = config.servers.model_copy(update={"images": [image]})
    return config.model_copy(update={"servers": servers})


def with_budget(config: Config, size: int) -> Config:
    servers = config.servers.model_copy(update={"own_images_size": size})
    return config.model_copy(update={"servers": servers})


def test_the_least_recently_used_goes_and_nothing_else(
    engine: docker.DockerClient,
    references: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = new_config(tmp_path, references["catalogue"])
    for now, name in enumerate(("old", "new", "catalogue")):
        with running(engine, config, references[name]):
            image_cleaning.clean(config, engine.api, now, set())
    with running(engine, config, references["old"]):
        image_cleaning.clean(config, engine.api, 3, set())
        image_cleaning.clean(with_budget(config, 1), engine.api, 4, set())
        left = present(engine, references)
        assert left == {"old", "catalogue", "foreign"}, "not one that is used, or in the catalogue"
        listed = stock.listing(config)
        assert [(image.name, image.reference) for image in listed] == [
            ("c", references["catalogue"]),
            ("", references["old"]),
        ]
        assert listed[1].used_by == [] and listed[1].present, "created, but it does not run"
    uses = own_images.parse(own_images.register_file(config).read_text()).values()
    assert {use.reference: use.last for use in uses if use.last > 2} == {references["old"]: 4}
    with caplog.at_level("INFO"):
        image_cleaning.clean(with_budget(config, 1), engine.api, 5, set())
    assert present(engine, references) == {"catalogue", "foreign"}
    assert f"Removed image {references['old']}" in caplog.text


def test_what_the_engine_will_not_remove_is_told(
    engine: docker.DockerClient,
    references: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = with_budget(new_config(tmp_path, references["catalogue"]), 1)
    told: set[str] = set()
    own_images.register_file(config).write_text("spoiled")
    engine.images.get(references["foreign"]).tag("quaderno-test/operators", "1")
    try:
        with running(engine, config, references["foreign"]):
            image_cleaning.clean(config, engine.api, 1, told)
        for now in (1, 2):
            image_cleaning.clean(config, engine.api, now, told)
        assert "foreign" in present(engine, references)
        assert "own-images.json is begun anew" in caplog.text
        assert caplog.text.count(f"Image {references['foreign']} stays") == 1
    finally:
        engine.images.remove("quaderno-test/operators:1")
