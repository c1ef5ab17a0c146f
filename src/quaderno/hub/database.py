"""The hub's database: where it is, how one gets in, and its copy before its schema is changed.

SQLite in `hub/` by itself, or a PostgreSQL server. Its password is in a file that PostgreSQL's own
client library reads, so that it is in no URL: JupyterHub hands that to other programs.
"""

import os
import re
import sqlite3
import subprocess
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from jupyterhub import dbutil
from sqlalchemy import URL, create_engine, make_url

from quaderno import backups
from quaderno.config import Config
from quaderno.errors import ComponentError, ConfigError

# For libpq: seconds until a server that does not answer is given up, in milliseconds where it says
# so. See "Connection Control Functions" in PostgreSQL's manual.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


def address(config: Config) -> URL:
    """Where the hub's database is; there is no password in it."""
    if config.hub.database is None:
        return make_url(f"sqlite:///{config.dir / 'hub' / 'jupyterhub.sqlite'}")
    found = make_url(config.hub.database)
    if found.get_backend_name() == "sqlite":
        return found
    more = _PATIENCE | {"application_name": application(config)}
    if config.hub.database_password.get_secret_value():
        more["passfile"] = str(_password_file(config))
    return found.set(drivername="postgresql+psycopg").update_query_dict(more)


def url(config: Config) -> str:
    """The same as text, as JupyterHub wants it."""
    return address(config).render_as_string(hide_password=False)


def application(config: Config) -> str:
    """What PostgreSQL shows of the hub's connections."""
    return f"quaderno-hub-{config.instance}"


def conninfo(config: Config, **more: str) -> str:
    """The address of a PostgreSQL database, as its own programs want it."""
    where = address(config).set(drivername="postgresql").update_query_dict(more)
    return where.render_as_string(hide_password=False)


def is_postgresql(config: Config) -> bool:
    """Else it is SQLite."""
    return address(config).get_backend_name() == "postgresql"


def file(config: Config) -> Path:
    """Where SQLite keeps it."""
    return Path(address(config).database or "")


def write_password(config: Config) -> None:
    """For PostgreSQL's library, which wants that nobody else can read the file."""
    password = config.hub.database_password.get_secret_value()
    if not is_postgresql(config) or not password:
        return
    new = _password_file(config).with_suffix(".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write("*:*:*:*:" + re.sub(r"([\\:])", r"\\\1", password) + "\n")
    new.replace(_password_file(config))


def _password_file(config: Config) -> Path:
    return config.dir / "hub" / "database-password"


# --- its schema


def upgrade(config: Config) -> bool:
    """Bring an older database up to this version's schema, after a copy was taken; whether it was
    an older one.

    Nothing is done to a current database, or an empty one, which JupyterHub fills. Raises
    ComponentError when no copy can be taken, ConfigError when the database is of a newer version.
    """
    scripts = ScriptDirectory(dbutil.ALEMBIC_DIR)
    revision = _revision(address(config))
    if revision is None or revision == scripts.get_current_head():
        return False
    try:
        scripts.get_revision(revision)
    except CommandError as error:
        raise ConfigError(
            f"the hub's database is of a newer version of the service (schema {revision})",
            f"Install that, or restore the copy of before: docs/operator/upgrade.md ({error})",
        ) from error
    _back_up(config, revision)
    dbutil.upgrade(url(config))
    return True


def _revision(place: URL) -> str | None:
    """None where there are no tables."""
    engine = create_engine(place)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()


def _back_up(config: Config, revision: str) -> None:
    """Raises ComponentError when there is no copy in the end."""
    kind = "dump" if is_postgresql(config) else "sqlite"
    try:
        with backups.copy(config.dir / "hub", f"jupyterhub-{revision}", kind) as target:
            if is_postgresql(config):
                _dump(config, target)
            else:
                backups.copy_sqlite(file(config), target)
    except (OSError, sqlite3.Error, subprocess.CalledProcessError) as error:
        raise _no_copy(error) from error


def _dump(config: Config, target: Path) -> None:
    """Raises CalledProcessError; FileNotFoundError when the program is not installed."""
    command = ["pg_dump", "--format=custom", f"--file={target}", f"--dbname={conninfo(config)}"]
    subprocess.run(command, check=True, capture_output=True, text=True)


def _no_copy(error: Exception) -> ComponentError:
    said = str(getattr(error, "stderr", None) or error).strip().splitlines()[-1]
    hint = "The database is as it was. Make room on the disk of the state directory"
    if isinstance(error, FileNotFoundError):
        said, hint = "there is no pg_dump", "Install postgresql-client, as new as the server"
    elif isinstance(error, subprocess.CalledProcessError):
        hint = "The database is as it was. pg_dump must be as new as the server"
    return ComponentError(f"the hub's database cannot be copied before its upgrade: {said}", hint)
