"""Jupyter server extension: starts the agent for oidc-agent's clients with the server."""

import os
from pathlib import Path
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "quaderno_server.extension"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Begin once the server serves, so that nobody waits for this."""
    path = os.environ.get("OIDC_SOCK")
    if path and "JUPYTERHUB_API_TOKEN" in os.environ:
        server.io_loop.add_callback(_listen, server, Path(path))


async def _listen(server: Any, path: Path) -> None:
    from quaderno_server.oidc_agent import Agent

    try:
        server.oidc_agent = await Agent(os.environ).listen(path)
    except OSError as error:
        server.log.warning("No access tokens for oidc-agent's clients: %s", error)
