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
    _follow_settings(server)
    path = os.environ.get("OIDC_SOCK")
    if path:
        server.io_loop.add_callback(_listen, server, Path(path))


def _route(server: Any) -> None:
    from quaderno_server.handlers import handlers
    from quaderno_server.watch import Watch

    application = server.web_app
    watch = Watch(os.environ, server.log)
    application.add_handlers(".*$", handlers(application.settings["base_url"], watch))


def _follow_settings(server: Any) -> None:
    from quaderno_server.kept import WORKAREA
    from quaderno_server.settings import Follower

    bucket = WORKAREA / "cloud_storage" / os.environ["JUPYTERHUB_USER"]
    for lab in server.extension_manager.extension_apps.get("jupyterlab", ()):
        settings, workspaces = Path(lab.user_settings_dir), Path(lab.workspaces_dir)
        Follower(settings, workspaces, bucket, server.log).start()


async def _listen(server: Any, path: Path) -> None:
    from quaderno_server.oidc_agent import Agent

    try:
        server.oidc_agent = await Agent(os.environ).listen(path)
    except OSError as error:
        server.log.warning("No access tokens for oidc-agent's clients: %s", error)
