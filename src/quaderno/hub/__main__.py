"""The hub's program: its turn, its database, then JupyterHub in this same process."""

import os
import sys
from datetime import datetime
from pathlib import Path

from jupyterhub import app

from quaderno import config as quaderno_config
from quaderno.errors import QuadernoError
from quaderno.hub import HERE, database, turn


def main() -> int:
    """The exit status; does not return while the hub runs."""
    config = quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))
    try:
        database.write_password(config)
        turn.wait(config, _say, lambda: os._exit(turn.LOST))
        if database.upgrade(config):
            _say(f"The database was upgraded; a copy of before is in {config.dir}/hub/backups")
    except QuadernoError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return 1
    try:
        app.main(["-f", str(HERE / "jupyterhub_config.py")])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


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
