"""The hub as a component: what it needs before it starts, and its program."""

import sys

from quaderno.config import Config


def command(_: Config) -> list[str]:
    """The program; it reads QUADERNO_CONFIG and runs in `hub/`."""
    return [sys.executable, "-m", "quaderno.hub"]


def health_url(config: Config) -> str:
    """Answers 200 when the hub serves requests."""
    return f"http://127.0.0.1:{config.ports.hub}/hub/health"


def servers_command(*arguments: str) -> list[str]:
    """The program that lists and stops servers, as the hub's user, which may make a token."""
    return [sys.executable, "-m", "quaderno.hub.running_servers", *arguments]


def tokens_command(*arguments: str) -> list[str]:
    """The program that makes, lists and revokes service tokens; runs like the hub, as its user."""
    return [sys.executable, "-m", "quaderno.hub.tokens", *arguments]
