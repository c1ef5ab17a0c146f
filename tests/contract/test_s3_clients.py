"""Every S3 client in a server, with keys that end soon, and with a hub or a store that is away."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from quaderno.config import Config
from quaderno.images import build
from quaderno.storage import buckets
from tests import clients
from tests.contract.server_fixtures import Server, running_server
from tests.contract.storage_fixtures import Issuer, Store, eventually, new_config

# Seconds that keys last: so few that whoever is at work needs others.
SOON = 8


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = new_config(tmp_path_factory.mktemp("s3-clients"))
    store = config.store.model_copy(update={"key_lifetime": 900})
    return config.model_copy(update={"store": store})


@pytest.fixture(scope="module")
def store(config: Config) -> Iterator[Store]:
    store = Store(config)
    with ExitStack() as stack:
        stack.callback(store.stop)
        store.start()
        yield store


@pytest.fixture(scope="module")
def running(config: Config, store: Store) -> Iterator[Server]:
    """A server with all clients, and what they read in the store."""
    build.build_base(config, print)
    image = clients.image(build.base_reference(config))
    issuer = Issuer(config)
    with issuer.serving():
        buckets.ensure_personal_bucket(config, "anna", issuer.keys("anna"))
        with running_server(config, issuer, image) as anna:
            anna.hub.life = SOON
            anna.printed(clients.PREPARE)
            yield anna


@pytest.fixture
def anna(running: Server) -> Iterator[Server]:
    """Her server, whose log holds nothing that a person should worry about."""
    running.hub.heal()
    running.hub.life = SOON
    yield running
    assert "Traceback" not in running.logged()


@pytest.mark.parametrize("client", clients.WORKING)
def test_a_client_at_work_renews_its_keys(anna: Server, client: str) -> None:
    before = anna.hub.keys_given
    anna.printed(f"rm -f {clients.ENOUGH}")
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(anna.run, f"timeout 60 {clients.WORKING[client]}")
        try:
            eventually(lambda: work.done() or anna.hub.keys_given >= before + 3, 50, "renewals")
        finally:
            anna.printed(f"touch {clients.ENOUGH}")
        status, output = work.result()
    assert status == 0, output
    assert anna.hub.keys_given >= before + 3
