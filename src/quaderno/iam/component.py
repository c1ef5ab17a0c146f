"""How the identity provider is prepared, started and asked for its health.

Used by the side that supervises it, so nothing of Django is imported here. The commands run as
the identity provider's own user with QUADERNO_CONFIG set, and write below `iam/` only.
"""

import sys

from quaderno.config import Config


def setup_commands(config: Config) -> list[list[str]]:  # noqa: ARG001 - the same for every component
    """Commands to run, in order, before each start; repeating them changes nothing."""
    return [[sys.executable, "-m", "quaderno.iam.manage", "prepare"]]


def command(config: Config) -> list[str]:
    """The server, in the foreground."""
    bind = f"127.0.0.1:{config.ports.iam_app}"
    settings = "python:quaderno.iam.gunicorn_settings"
    return [sys.executable, "-m", "gunicorn", "--config", settings, "--bind", bind]


def health_url(config: Config) -> str:
    """Answers 200 when the server and its database work, else 503."""
    return f"http://127.0.0.1:{config.ports.iam_app}/healthz"
