"""What the hub does with its database, the same on SQLite and on PostgreSQL."""

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from quaderno import supervisor
from quaderno.hub import database
from tests.contract.hub_fixtures import PASSWORD, Hub, Postgres, hub_instances, running_postgres
from tests.service.running import wait_for

KINDS = ("sqlite", "postgresql")
OLDER = "ff1860e38070"  # JupyterHub's schema before the latest one
WAITS = "Another hub works on this database; waiting for its end"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def instances() -> Iterator[Callable[..., Hub]]:
    with hub_instances() as make:
        yield make


@pytest.fixture(scope="module", params=KINDS)
def hub(request: pytest.FixtureRequest, instances: Callable[..., Hub]) -> Iterator[Hub]:
    """One that runs, with a token and a person in its database."""
    if request.param == "sqlite":
        hub = instances()
    else:
        server: Postgres = request.getfixturevalue("postgres")
        server.run("CREATE DATABASE quaderno")
        hub = instances(server.url("quaderno"), PASSWORD)
    hub.come_up()
    hub.make_token()
    assert hub.request("POST", "/users/ada").status_code == 201
    yield hub
    hub.go_down()


def test_what_the_hub_knows_outlives_it(hub: Hub) -> None:
    before = hub.pid()
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: hub.pid() not in (0, before) and hub.answers(), 120, "another hub")
    assert hub.people() == ["ada"]


def test_the_password_is_in_no_process_and_no_log(hub: Hub) -> None:
    shown = subprocess.run(["ps", "axeww"], capture_output=True, text=True, check=True).stdout
    assert str(hub.config.dir) in shown
    for place in (shown, *(log.read_text() for log in hub.config.logs.glob("*.log"))):
        assert PASSWORD not in place


def test_an_older_database_is_upgraded_and_copied_before(hub: Hub) -> None:
    hub.go_down()
    _make_older(hub)
    hub.come_up()
    assert hub.people() == ["ada"]
    (copy,) = (hub.config.dir / "hub" / "backups").iterdir()
    assert OLDER in copy.name
    said = f"The database was upgraded; a copy of before is in {copy.parent}"
    wait_for(lambda: hub.says(said), 60, "the log")
    assert _copied_people(copy) == ["ada"]
    assert _revision(hub) != OLDER


def test_without_a_copy_nothing_is_upgraded(hub: Hub) -> None:
    hub.go_down()
    _make_older(hub)
    copies = hub.config.dir / "hub" / "backups"
    shutil.rmtree(copies, ignore_errors=True)  # of a test before
    copies.write_text("in the way")
    hub.begin()
    said = "the hub's database cannot be copied before its upgrade"
    wait_for(lambda: hub.says(said), 60, "the refusal")
    assert _revision(hub) == OLDER
    copies.unlink()
    wait_for(hub.answers, 120, "the hub's next try")
    assert len(list(copies.iterdir())) == 1


def test_another_hub_waits_for_its_turn(hub: Hub, instances: Callable[..., Hub]) -> None:
    url = hub.config.hub.database or f"sqlite:///{database.file(hub.config)}"
    second = instances(url, like=hub)
    second.begin()
    wait_for(lambda: second.says(WAITS), 60, "the second hub")
    wait_for(hub.answers, 60, "an answer of the first hub")
    assert not second.answers()
    pid = second.pid()
    for victim in (supervisor.daemon_pid(hub.config), hub.pid()):
        assert victim
        os.kill(victim, signal.SIGKILL)
    wait_for(second.answers, 120, "the second hub's turn")
    assert second.pid() == pid, "it had only waited"
    second.token = hub.token  # which is good at whichever hub works on the database
    assert second.people() == ["ada"]
    hub.go_down()  # what is left of it
    hub.begin()
    wait_for(lambda: hub.says(WAITS), 60, "the first hub, which is the second now")
    assert not hub.answers()
    second.go_down()
    wait_for(hub.answers, 120, "the first hub's turn")
    assert hub.people() == ["ada"]


def test_a_hub_that_loses_its_lock_ends(postgres: Postgres, instances: Callable[..., Hub]) -> None:
    postgres.run("CREATE DATABASE lost")
    hub = instances(postgres.url("lost"), PASSWORD)
    hub.come_up()
    before = hub.pid()
    cut = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'quaderno-hub-lock' AND datname = 'lost'"
    )
    assert postgres.run(cut) == [(True,)]
    wait_for(lambda: hub.pid() != before, 60, "the end of the hub")
    wait_for(lambda: hub.says("The lock on the database is lost, this hub ends"), 60, "its reason")
    wait_for(hub.answers, 120, "another hub")


# --- databases, looked at from outside


def _engine(hub: Hub) -> Any:
    return create_engine(database.address(hub.config))


def _make_older(hub: Hub) -> None:
    engine = _engine(hub)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE spawners DROP COLUMN display_name"))
        older = text("UPDATE alembic_version SET version_num = :older")
        connection.execute(older, {"older": OLDER})
    engine.dispose()


def _revision(hub: Hub) -> str:
    engine = _engine(hub)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    engine.dispose()
    return str(found)


def _copied_people(copy: Path) -> list[str]:
    if copy.suffix == ".sqlite":
        with closing(sqlite3.connect(copy)) as connection:
            return [name for (name,) in connection.execute("SELECT name FROM users")]
    command = ["pg_restore", "--data-only", "--table=users", "--file=-", str(copy)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = text.partition("COPY public.users")[2].splitlines()[1:]
    return [line.split("\t")[1] for line in rows[: rows.index("\\.")]]
