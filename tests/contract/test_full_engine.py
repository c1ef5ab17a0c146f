"""Starts on an engine whose disk has no room: for the image, or for the container."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import docker
import pytest

from quaderno.hub.failures import StartFailure
from quaderno.hub.spawner_docker import QuadernoDockerSpawner
from quaderno.images.parent import ensure_parent
from tests.contract.small_engine import SmallEngine, small_engine
from tests.contract.starts_fixtures import Starts, running_starts
from tests.service.registry import push_image, running_registry

DISK = 64 * 2**20  # bytes: the image comes to more, and fits while it is packed


@pytest.fixture(scope="module")
def image(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its reference at a registry."""
    scratch = tmp_path_factory.mktemp("parent")
    ensure_parent(engine, scratch / "log", scratch)
    with running_registry() as registry:
        yield push_image(registry, "large:1", 10**6)


@pytest.fixture(scope="module")
def small(image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallEngine]:
    with small_engine(tmp_path_factory.mktemp("e"), DISK) as engine:
        yield engine


@pytest.fixture(scope="module")
def starts(small: SmallEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starts]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", small.address)
        patch.setattr(QuadernoDockerSpawner, "_client", None)
        with running_starts(tmp_path_factory.mktemp("f")) as starts:
            yield starts
        QuadernoDockerSpawner._client.close()


@pytest.fixture
def ada(starts: Starts) -> Iterator[Any]:
    spawner = starts.spawner()
    yield spawner
    starts.end(spawner)
    assert starts.leftovers() == []


def failure(starts: Starts, spawner: Any, image: str) -> StartFailure:
    with pytest.raises(StartFailure) as failed:
        starts.start(spawner, image)
    return failed.value


@pytest.mark.parametrize("when", ["unpacked", "downloaded"])
def test_no_space_for_an_image_is_named_at_once(
    starts: Starts, small: SmallEngine, ada: Any, image: str, when: str
) -> None:
    with ExitStack() as stack:
        if when == "downloaded":
            stack.enter_context(small.filled())
        failed = failure(starts, ada, image)
    assert failed.reason == "image_no_space"
    assert failed.status_code == 507
    assert f"no disk space left for the image {image}. Choose" in failed.jupyterhub_message
    assert "no space left on device" in failed.log_message
    assert (failed.tries, failed.retry_helps) == (1, False)
    assert starts.engine.images.list(all=True) == []
    assert starts.engine.df()["LayersSize"] == 0


def test_no_space_for_a_server_is_named_at_once(
    starts: Starts, small: SmallEngine, ada: Any
) -> None:
    image = starts.foreign()
    with small.filled():
        failed = failure(starts, ada, image)
        starts.end(ada)
        assert starts.leftovers() == []
    assert failed.reason == "no_space"
    assert failed.status_code == 507
    assert "no disk space left for your server. Tell your operator." in failed.jupyterhub_message
    assert failed.tries == 1
    # With room again, the same start comes as far as it can.
    assert failure(starts, ada, image).reason == "architecture"
