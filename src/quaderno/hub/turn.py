"""One hub at a time works on a database: whoever holds its lock. Others wait for their turn.

Two hubs on one database would each stop what the other has started. On PostgreSQL the lock is an
advisory one, which belongs to a connection that does nothing else; whoever loses the connection
ends at once, as after a `kill -9`, which loses nothing. A server that hears nothing of a client any
more gives its lock away after `_SERVER_PATIENCE`; the client, which asks all the time, has noticed
and ended long before. With SQLite it is a lock on a file, which the kernel holds for the process.

See "Explicit Locking" (advisory locks) in PostgreSQL's manual, and flock(2).
"""

import fcntl
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from quaderno.config import Config
from quaderno.hub import database

Say = Callable[[str], None]

LOST = 1  # exit status
_KEY = int.from_bytes(b"quaderno", "big")  # of the lock, within its database
_ASK_EVERY = 0.5  # seconds, for the lock, while another has it
_LOOK_EVERY = 1.0  # seconds, whether it is still ours
_TRY_AGAIN_AFTER = 1.0
# Milliseconds until what was sent and not received counts as a connection that is lost.
_CLIENT_PATIENCE = "4000"
# Seconds of silence, then between questions, and how many: some 30 s in all.
_SERVER_PATIENCE = {"idle": 15, "interval": 5, "count": 3}
# Seconds for one who has just lost the lock to notice it, wherever the fault is, and to end.
_GRACE = 6.0


def wait(config: Config, say: Say, lost: Callable[[], None]) -> None:
    """Return when this process is the one that works on the database; `lost` is called in another
    thread when it is not any more, and must end the process."""
    if database.is_postgresql(config):
        connection = _locked_connection(config, say)
        threading.Thread(
            target=_watch, args=(connection, say, lost), name="turn", daemon=True
        ).start()
    else:
        _lock_file(database.file(config).with_suffix(".lock"), say)


# --- PostgreSQL


def _locked_connection(config: Config, say: Say) -> psycopg.Connection:
    waiting = Waiting(say)
    while True:
        try:
            connection = _connect(config)
            waited = False
            while not _has(connection, "SELECT pg_try_advisory_lock(%s)"):
                waited = True
                waiting.on("Another hub works on this database; waiting for its end")
                time.sleep(_ASK_EVERY)
            if waited:
                _end_others(config, connection)
                time.sleep(_GRACE)
        except psycopg.Error as error:
            waiting.on(f"The database does not answer, trying again: {str(error).strip()}")
            time.sleep(_TRY_AGAIN_AFTER)
        else:
            waiting.over()
            return connection


def _connect(config: Config) -> psycopg.Connection:
    """Of its own, and not through a pool, which would share or change it."""
    info = database.conninfo(
        config, application_name="quaderno-hub-lock", tcp_user_timeout=_CLIENT_PATIENCE
    )
    connection = psycopg.connect(info, autocommit=True)
    for name, value in _SERVER_PATIENCE.items():
        connection.execute(f"SET tcp_keepalives_{name} = {value}")
    return connection


def _has(connection: psycopg.Connection, question: str) -> bool:
    row = connection.execute(question, [_KEY]).fetchone()
    return bool(row and row[0])


def _end_others(config: Config, connection: psycopg.Connection) -> None:
    """What is left of the hub before us can write nothing more, even where it was asleep when it
    lost the lock."""
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND usename = current_user AND application_name = %s",
        [database.application(config)],
    )


def _watch(connection: psycopg.Connection, say: Say, lost: Callable[[], None]) -> None:
    """Nothing comes by itself from a server but the end of the connection."""
    try:
        while True:
            select.select([connection.fileno()], [], [], _LOOK_EVERY)
            connection.execute("SELECT 1")
    except (psycopg.Error, OSError, ValueError) as error:
        say(f"The lock on the database is lost, this hub ends: {str(error).strip()}")
        lost()


# --- SQLite


def _lock_file(path: Path, say: Say) -> None:
    """Held until this process ends: nobody closes the descriptor, and no child inherits it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    waiting = Waiting(say)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting.on("Another hub works on this database; waiting for its end")
            time.sleep(_ASK_EVERY)
        else:
            waiting.over()
            return


class Waiting:
    """Says what is waited for when that changes, not each time."""

    def __init__(self, say: Say) -> None:
        self._say, self._last = say, ""

    def on(self, what: str) -> None:
        if what != self._last:
            self._say(what)
            self._last = what

    def over(self) -> None:
        if self._last:
            self._say("This hub takes over")
