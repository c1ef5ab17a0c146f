"""Jupyter server extension: what JupyterLab and oidc-agent's clients ask of this server."""

import os
from pathlib import Path
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "quaderno_server.extension"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Routes at once; what takes time begins once the server serves: nobody waits for it."""
    if "JUPYTERHUB_API_TOKEN" not in os.environ:
        return
    _route(server)
    server.io_loop.add_callback(_watch_kernels, server)
    path = os.environ.get("OIDC_SOCK")
    if path:
        server.io_loop.add_callback(_listen, server, Path(path))


def _route(server: Any) -> None:
    from quaderno_server.handlers import handlers
    from quaderno_server.keeping import Keeping
    from quaderno_server.watch import Watch

    application = server.web_app
    found = handlers(
        application.settings["base_url"], Watch(os.environ, server.log), Keeping(os.environ)
    )
    application.add_handlers(".*$", found)


def _watch_kernels(server: Any) -> None:
    from quaderno_server.activity import watch_kernels

    watch_kernels(server)


async def _listen(server: Any, path: Path) -> None:
    from quaderno_server.oidc_agent import Agent

    try:
        server.oidc_agent = await Agent(os.environ).listen(path)
    except OSError as error:
        server.log.warning("No access tokens for oidc-agent's clients: %s", error)
