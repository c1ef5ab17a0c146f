"""The hub's program: its turn, its database, then JupyterHub in this same process."""

import os
import sys
from datetime import datetime

from jupyterhub import app

from quaderno.config import Config
from quaderno.hub import HERE, database, program, turn


def main() -> int:
    """The exit status; does not return while the hub runs."""
    if status := program.run(_prepare):
        return status
    try:
        app.main(["-f", str(HERE / "jupyterhub_config.py")])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _prepare(config: Config) -> None:
    """Wait for this hub's turn, and upgrade its database. Raises QuadernoError."""
    database.write_password(config)
    turn.wait(config, _say, lambda: os._exit(turn.LOST))
    if database.upgrade(config):
        _say(f"The database was upgraded; a copy of before is in {config.dir}/hub/backups")


def _say(line: str) -> None:
    """As JupyterHub writes its log, which does not exist yet."""
    at = f"{datetime.now():%Y-%m-%d %H:%M:%S}"  # noqa: DTZ005 - as JupyterHub does
    sys.stderr.write(f"[I {at} Quaderno] {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads in which the engine has not answered yet would keep the process for a minute more.
    os._exit(status)
