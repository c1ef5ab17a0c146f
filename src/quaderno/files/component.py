"""The page as a component: its program, and what its health is asked of."""

import sys

from quaderno.config import Config
from quaderno.files import BASE


def command(_: Config) -> list[str]:
    """The program; it reads QUADERNO_CONFIG and keeps nothing on disk."""
    return [sys.executable, "-m", "quaderno.files.app"]


def health_url(config: Config) -> str:
    """Answers 200 when the page serves requests."""
    return f"http://127.0.0.1:{config.ports.files}{BASE}health"
