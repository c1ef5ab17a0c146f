"""Servers besides a person's first: which names they may have, and the pages that know them.

JupyterHub keeps a named server until it is deleted, running or not, and counts it towards the
limit. Its name is part of addresses and comes from anybody's link, so it is checked before anything
is made for it.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.handlers.pages import SpawnHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import url_escape_path, url_path_join
from tornado import web

from quaderno import names
from quaderno.hub import options

# JupyterHub's paths of the form: of the first server, of somebody's first, of a named one.
SPAWN_PAGES = (r"/spawn", r"/spawn/([^/]+)", r"/spawn/([^/]+)/([^/]+)")

_CHANGES = {"name": str, "display_name": str, "user_options": dict}


class ChecksNames:
    """Of a handler that may make a named server."""

    allow_named_servers: bool

    async def _check_named_server_request(
        self, user: Any, server_name: str, display_name: str, check_limit: bool = True
    ) -> None:
        """JupyterHub asks before it makes, starts or renames one. Raises HTTP 400."""
        problem = names.server_problem(server_name)
        if problem and self.allow_named_servers:
            raise web.HTTPError(
                HTTPStatus.BAD_REQUEST,
                f"{options.quote(server_name)} cannot name a server: {problem}.",
            )
        await super()._check_named_server_request(  # type: ignore[misc]
            user, server_name, display_name, check_limit
        )


class ChecksChanges:
    """Of the handler that changes a server (`PATCH`): JupyterHub's fails on what it does not
    expect."""

    get_json_body: Callable[[], Any]

    @needs_scope("start:servers")
    async def patch(self, user_name: str, server_name: str = "") -> None:
        body = self.get_json_body()
        if not isinstance(body, dict) or not body.keys() <= _CHANGES.keys():
            fields = ", ".join(_CHANGES)
            raise web.HTTPError(
                HTTPStatus.BAD_REQUEST, f"The body must be an object with some of {fields}."
            )
        for field, value in body.items():
            if value is not None and not isinstance(value, _CHANGES[field]):
                kind = "a string" if _CHANGES[field] is str else "an object"
                raise web.HTTPError(HTTPStatus.BAD_REQUEST, f"{field} must be {kind}.")
        await super().patch(user_name, server_name)  # type: ignore[misc]


class SpawnPage(ChecksNames, SpawnHandler):
    """The form of the server that its address names; JupyterHub's is always the first one's."""

    def render_template(self, name: str, sync: bool = False, **about: Any) -> Any:
        if name == "spawn.html":
            server = self.path_args[1] if len(self.path_args) > 1 else ""
            about["spawner"] = about["for_user"].spawners[server]
        return super().render_template(name, sync, **about)


class NewServerHandler(BaseHandler):
    """`GET /hub/quaderno/new-server?name=`: to the form of that server; makes nothing."""

    @web.authenticated
    def get(self) -> None:
        name = self.get_argument("name", "")
        if problem := names.server_problem(name):
            raise web.HTTPError(
                HTTPStatus.BAD_REQUEST, f"{options.quote(name)} cannot name a server: {problem}."
            )
        user = self.current_user.escaped_name
        self.redirect(url_path_join(self.hub.base_url, "spawn", user, url_escape_path(name)))
