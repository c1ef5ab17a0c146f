"""Jupyter server extension: what JupyterLab, AWS SDKs and oidc-agent's clients ask for."""

import os
from functools import partial
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
    if "AWS_CONTAINER_CREDENTIALS_FULL_URI" in os.environ:
        server.io_loop.add_callback(_provide_keys, server)
    _follow_settings(server)
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


def _provide_keys(server: Any) -> None:
    from quaderno_server.credentials import s3_keys
    from quaderno_server.s3_keys import Keys, Provider

    try:
        server.s3_keys = Provider(os.environ, Keys(partial(s3_keys, os.environ)))
    except (OSError, KeyError, ValueError) as error:
        server.log.warning("No S3 keys for AWS SDKs: %s", error)
    else:
        server.s3_keys.start()


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
