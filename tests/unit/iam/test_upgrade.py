"""The identity provider's database is copied before a new version changes it."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from quaderno import backups
from quaderno import config as configuration
from quaderno.iam import migrations

OLDER = "0003_groups"
LATEST = max(file.stem for file in Path(migrations.__file__).parent.glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an identity provider that has run."""
    directory = tmp_path_factory.mktemp("iam-upgrade")
    settings = configuration.for_component(configuration.generate(directory), "iam")
    home = directory / "iam"
    home.mkdir()
    (home / "settings.yaml").write_text(configuration.dump(settings))
    assert manage(home, "prepare") == ""
    return home


def manage(home: Path, *arguments: str) -> str:
    """What it says on standard error."""
    environment = os.environ | {"QUADERNO_CONFIG": str(home / "settings.yaml")}
    command = [sys.executable, "-m", "quaderno.iam.manage", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert bool(ran.returncode) is bool(ran.stderr)
    return ran.stderr


def schema(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        question = "SELECT max(name) FROM django_migrations WHERE app = 'iam'"
        return str(connection.execute(question).fetchone()[0])


def test_a_new_database_is_not_copied(home: Path) -> None:
    assert schema(home / "iam.sqlite3") == LATEST
    assert manage(home, "prepare") == ""
    assert not (home / "backups").exists()


def test_an_older_one_is_and_only_then_changed(home: Path) -> None:
    assert manage(home, "migrate", "iam", OLDER) == ""
    (home / "backups").write_text("in the way")
    assert "cannot be copied before its upgrade" in manage(home, "prepare")
    assert schema(home / "iam.sqlite3") == OLDER
    (home / "backups").unlink()
    assert manage(home, "prepare") == ""
    assert schema(home / "iam.sqlite3") == LATEST
    (copy,) = (home / "backups").iterdir()
    assert OLDER in copy.name
    assert schema(copy) == OLDER


def test_upgrades_that_fail_do_not_fill_the_disk(tmp_path: Path) -> None:
    """The component is started again each time, and takes a copy first."""
    for number in range(20):
        with backups.copy(tmp_path, f"iam-{OLDER}", f"{number}.sqlite") as target:
            target.write_text("as it was")
    with (
        pytest.raises(OSError, match="20 copies were taken within a day"),
        backups.copy(tmp_path, f"iam-{OLDER}", "sqlite"),
    ):
        pytest.fail("one more was begun")
    with backups.copy(tmp_path, f"iam-{LATEST}", "sqlite") as target:
        target.write_text("of another version")
    first = next((tmp_path / backups.DIRECTORY).glob(f"iam-{OLDER}-*"))
    yesterday = first.stat().st_mtime - 24 * 3600
    os.utime(first, (yesterday, yesterday))
    with backups.copy(tmp_path, f"iam-{OLDER}", "sqlite") as target:
        target.write_text("a day later")
