"""Components killed and restarted while somebody works: what they notice."""

import os
import signal
from collections.abc import Iterator

import pytest

from quaderno import supervisor
from tests.held_engine import HeldEngine, engine_of_the_hub, held_engine
from tests.service.kernel import Kernel
from tests.service.running import Hub, Service, wait_for
from tests.service.s3 import ObjectStore, object_store
from tests.service.work import Work

pytestmark = pytest.mark.usefixtures("adas_server")


@pytest.fixture(scope="module")
def store(service: Service, adas_server: None) -> ObjectStore:
    return object_store(service, "ada")


def another_process(service: Service, component: str, end: signal.Signals) -> None:
    """Wait for one that answers, after its predecessor was told to end."""
    before = service.status()[component].pid
    assert before is not None
    if end == signal.SIGKILL:
        os.kill(before, end)
    else:
        supervisor.restart_component(service.config, component)
    wait_for(lambda: service.status()[component].pid not in (None, before), 60, "a new process")
    wait_for(service.all_running, 120, "health")


@pytest.mark.parametrize("component", ["hub", "edge", "iam", "store", "agent", "files"])
def test_work_goes_on_while_a_component_is_killed_and_restarted(
    service: Service, hub: Hub, store: ObjectStore, component: str
) -> None:
    container = service.container("ada").id
    with Kernel(service, "ada") as kernel, Work(kernel, f"{component}.ipynb") as work:
        for end in (signal.SIGKILL, signal.SIGTERM):
            another_process(service, component, end)
            work.goes_on()
            work.nothing_is_missing(store, "ada")
    if component == "edge":
        assert work.drops > 0, "the connections were the edge's own"
    else:
        assert (work.drops, work.refusals) == (0, [])
    wait_for(lambda: hub.ready("ada"), 60, "a hub that knows the server")
    assert service.container("ada").id == container


@pytest.fixture
def engine(service: Service) -> Iterator[HeldEngine]:
    """The hub's way to the real engine, which may not answer."""
    with held_engine(service.config.dir / "engine.sock") as engine:
        with engine_of_the_hub(service.config, engine.address):
            another_process(service, "hub", signal.SIGTERM)
            assert engine.asked
            yield engine
            engine.release()
        another_process(service, "hub", signal.SIGTERM)


def test_a_hub_ends_and_begins_while_the_engine_does_not_answer(
    service: Service, hub: Hub, store: ObjectStore, engine: HeldEngine
) -> None:
    container, belongings = service.container("ada").id, service.leftovers("ada")
    with Kernel(service, "ada") as kernel, Work(kernel, "engine.ipynb") as work:
        engine.hold()
        for end in (signal.SIGKILL, signal.SIGTERM):
            another_process(service, "hub", end)
            wait_for(lambda: engine.asked, 60, "a question for the engine")
        assert hub.running("ada")
        work.goes_on()
        engine.release()
        wait_for(lambda: hub.ready("ada"), 120, "a hub that knows the server")
        work.nothing_is_missing(store, "ada")
    assert (work.drops, work.refusals) == (0, [])
    assert service.container("ada").id == container
    assert service.leftovers("ada") == belongings
