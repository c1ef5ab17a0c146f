"""Where the hub's database is, and that its password is in no address."""

from pathlib import Path

import psycopg
import pytest

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.errors import ConfigError
from quaderno.hub import database

PASSWORD = r"a:b\c%d"


def configured(directory: Path, url: str | None, password: str = "") -> Config:
    data = quaderno_config.generate(directory).model_dump(mode="json")
    data["hub"] |= {"database": url, "database_password": password}
    return quaderno_config.parse(data, directory / "quaderno.yaml")


def test_sqlite_is_where_nothing_is_said(tmp_path: Path) -> None:
    config = configured(tmp_path, None)
    assert database.url(config) == f"sqlite:///{tmp_path}/hub/jupyterhub.sqlite"
    assert database.file(config) == tmp_path / "hub" / "jupyterhub.sqlite"
    other = configured(tmp_path, "sqlite:////srv/hub.sqlite")
    assert database.file(other) == Path("/srv/hub.sqlite")


def test_the_password_is_in_a_file_that_the_library_reads(tmp_path: Path) -> None:
    config = configured(tmp_path, "postgresql://hub@db.example.org:5433/quaderno", PASSWORD)
    (tmp_path / "hub").mkdir()
    database.write_password(config)
    database.write_password(config)
    address = database.address(config)
    assert address.get_dialect().driver == "psycopg"
    assert PASSWORD not in database.url(config)
    file = Path(str(address.query["passfile"]))
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == "*:*:*:*:a\\:b\\\\c%d\n"
    understood = psycopg.conninfo.conninfo_to_dict(database.conninfo(config, connect_timeout="3"))
    assert understood["host"] == "db.example.org"
    assert understood["dbname"] == "quaderno"
    assert understood["passfile"] == str(file)
    assert int(str(understood["connect_timeout"])) == 3


def test_without_a_password_there_is_no_file(tmp_path: Path) -> None:
    config = configured(tmp_path, "postgresql:///quaderno?host=/run/postgresql")
    database.write_password(config)
    assert not (tmp_path / "hub").exists()
    assert "passfile" not in database.conninfo(config)
    assert database.address(config).query["host"] == "/run/postgresql"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://hub@h/quaderno", "begins with postgresql:// or sqlite:///"),
        ("postgresql://hub:secret@h/quaderno", "the password belongs in `database_password`"),
        ("postgresql://hub@h/quaderno?password=secret", "the password belongs in"),
        ("postgresql://hub@h", "names no database"),
        ("sqlite:///hub.sqlite", "needs a whole path"),
    ],
)
def test_what_is_no_database_of_ours(tmp_path: Path, url: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refusal:
        configured(tmp_path, url)
    assert "secret@" not in refusal.value.message
