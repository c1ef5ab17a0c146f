"""What JupyterLab asks its own server for: `quaderno/health`, `refresh`, `clean-up`, `workarea` and
`notice`.

The browser holds no token for the hub's API; the server does, and asks on its behalf.
"""

from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from quaderno_server.keeping import Keeping
from quaderno_server.watch import Watch


class QuadernoHandler(APIHandler):
    """What all have in common: they may do what the server's contents API may."""

    auth_resource = "contents"

    def initialize(self, watch: Watch, keeping: Keeping) -> None:
        self.watch, self.keeping = watch, keeping

    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Cache-Control", "no-store")


class HealthHandler(QuadernoHandler):
    """`GET quaderno/health`; a page that only looks does not keep a server from being idle."""

    _track_activity = False

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.finish(await self.watch.health())


class RefreshHandler(QuadernoHandler):
    """`POST quaderno/refresh`."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.finish(await self.watch.refresh())


class CleanUpHandler(QuadernoHandler):
    """`POST quaderno/clean-up`."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.finish(await self.watch.clean_up())


class WorkareaHandler(QuadernoHandler):
    """`GET quaderno/workarea`: what exists only in this server; `POST`: copy it."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        self.finish(await self.keeping.look())

    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.finish(await self.keeping.save())


class NoticeHandler(QuadernoHandler):
    """`POST quaderno/notice`: what is told once of the last server."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.finish(await self.keeping.notice())


def handlers(base_url: str, watch: Watch, keeping: Keeping) -> list[tuple[str, Any, Any]]:
    """Routes for the server's web application below `base_url`."""
    found = {
        "health": HealthHandler,
        "refresh": RefreshHandler,
        "clean-up": CleanUpHandler,
        "workarea": WorkareaHandler,
        "notice": NoticeHandler,
    }
    return [
        (url_path_join(base_url, "quaderno", name), handler, {"watch": watch, "keeping": keeping})
        for name, handler in found.items()
    ]
