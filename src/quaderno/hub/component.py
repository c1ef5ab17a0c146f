"""The hub as a component: what it needs before it starts, and its program."""

import subprocess
import sys
from pathlib import Path

from quaderno.config import Config
from quaderno.errors import ComponentError
from quaderno.hub import HERE


def command(_: Config) -> list[str]:
    """The program; it reads QUADERNO_CONFIG and runs in `hub/`."""
    return [
        str(Path(sys.prefix) / "bin" / "jupyterhub"),
        "-f",
        str(HERE / "jupyterhub_config.py"),
        "--upgrade-db",
    ]


def health_url(config: Config) -> str:
    """Answers 200 when the hub serves requests."""
    return f"http://127.0.0.1:{config.ports.hub}/hub/health"


def token_command(name: str, scopes: list[str]) -> list[str]:
    """A program that prints a new service token; runs like the hub, as the hub's user."""
    return [sys.executable, "-m", "quaderno.hub.tokens", name, *scopes]


def created_token(result: "subprocess.CompletedProcess[str]") -> str:
    """The token that `token_command` printed; raises ComponentError with its complaint."""
    if result.returncode:
        complaint = (result.stderr.strip().splitlines() or ["no output"])[-1]
        raise ComponentError(f"No token was created: {complaint}", "See: quaderno token --help")
    return result.stdout.strip()
