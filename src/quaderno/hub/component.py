"""The hub as a component: what it needs before it starts, and its program."""

import sys
from pathlib import Path

from quaderno.config import Config
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


def tokens_command(*arguments: str) -> list[str]:
    """The program that makes, lists and revokes service tokens; runs like the hub, as its user."""
    return [sys.executable, "-m", "quaderno.hub.tokens", *arguments]
