"""Asking the other sites: in time, with the secret, and without them."""

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from quaderno.config import Config
from quaderno.hub import neighbours as module
from quaderno.hub import placement
from quaderno.hub.neighbours import Neighbours
from quaderno.hub.site_api import Here
from tests.ports import free_ports
from tests.unit.hub import small_site

WITHIN = module._WITHIN  # seconds
pytestmark = pytest.mark.filterwarnings("ignore:TypeDecorator JSONDict")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites here answer at once, unless the machine is busy."""
    monkeypatch.setattr(module, "_WITHIN", 30)
    monkeypatch.setattr(module, "_FETCH_WITHIN", 60)


@contextmanager
def cnaf(here: Config, directory: Path, name: str = "cnaf", secret: str = "") -> Iterator[Config]:
    """`here` with the other site at its address, where ada's server runs."""
    there = small_site.instance(directory, free_ports())
    own = there.sites.members[0].model_copy(update={"name": name})
    key = SecretStr(secret) if secret else here.sites.secret
    there = with_sites(there, name=name, members=[own], secret=key)
    peer = here.sites.members[1].model_copy(update={"address": there.address})
    with small_site.serving(there, small_site.database(running=True)):
        yield with_sites(here, members=[here.sites.members[0], peer])


def with_sites(config: Config, **changes: Any) -> Config:
    return config.model_copy(update={"sites": config.sites.model_copy(update=changes)})


def neighbours(config: Config) -> Neighbours:
    return Neighbours(Here(config, small_site.Ready(config)), logging.getLogger("hub"))


@pytest.fixture
def bari(tmp_path: Path) -> Config:
    return small_site.instance(tmp_path / "bari", free_ports())


@pytest.fixture
def db() -> Any:
    return small_site.database(running=False)


async def look(config: Config, db: Any) -> placement.View:
    asking = neighbours(config)
    await asking.fetch()
    return await asking.view(db, "ada")


def test_a_server_that_runs_elsewhere_is_found_and_remembered(
    bari: Config, db: Any, tmp_path: Path
) -> None:
    with cnaf(bari, tmp_path / "cnaf") as both:
        assert placement.destination(asyncio.run(look(both, db))) == "cnaf"
        shunned = asyncio.run(neighbours(both).view(db, "ada", ("cnaf",)))
        assert set(shunned.silent) == {"cnaf"}
    # Gone; a hub that was started anew still knows.
    seen = asyncio.run(look(both, db))
    assert placement.destination(seen) == "bari"
    remembered = seen.silent["cnaf"]
    assert remembered
    assert (remembered.running, remembered.options) == (True, small_site.OPTIONS)
    assert asyncio.run(neighbours(both).view(db, "bob")).silent == {"cnaf": None}


@pytest.mark.parametrize(("name", "secret"), [("cnaf", "ab" * 32), ("roma", "")])
def test_who_has_another_secret_or_name_does_not_count(
    bari: Config, db: Any, tmp_path: Path, name: str, secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    with cnaf(bari, tmp_path / "cnaf", name, secret) as both:
        seen = asyncio.run(neighbours(both).view(db, "ada"))
    assert (set(seen.silent), seen.others) == ({"cnaf"}, ())
    assert bari.sites.secret.get_secret_value() not in caplog.text


def test_a_site_that_says_nothing_keeps_nobody_waiting(
    bari: Config, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WITHIN", WITHIN)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        peer = bari.sites.members[1].model_copy(update={"address": address})
        both = with_sites(bari, members=[bari.sites.members[0], peer])
        began = time.monotonic()
        seen = asyncio.run(neighbours(both).view(db, "ada"))
        assert time.monotonic() - began < 30, "its client waits for a minute otherwise"
    assert set(seen.silent) == {"cnaf"}
