"""What JupyterLab asks its own server for: `quaderno/health` and `quaderno/refresh`.

The browser holds no token for the hub's API; the server does, and asks on its behalf.
"""

from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from quaderno_server.watch import Watch


class WatchHandler(APIHandler):
    """What both have in common: they may do what the server's contents API may."""

    auth_resource = "contents"

    def initialize(self, watch: Watch) -> None:
        self.watch = watch

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")


class HealthHandler(WatchHandler):
    """`GET quaderno/health`; a page that only looks does not keep a server from being idle."""

    _track_activity = False

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.finish(await self.watch.health())


class RefreshHandler(WatchHandler):
    """`POST quaderno/refresh`."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.finish(await self.watch.refresh())


def handlers(base_url: str, watch: Watch) -> list[tuple[str, Any, dict[str, Watch]]]:
    """Routes for the server's web application below `base_url`."""
    found = {"health": HealthHandler, "refresh": RefreshHandler}
    return [
        (url_path_join(base_url, "quaderno", name), handler, {"watch": watch})
        for name, handler in found.items()
    ]
