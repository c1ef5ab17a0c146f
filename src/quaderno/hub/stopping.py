"""Hub handlers about the end of a server: what would be lost, the stop itself, and what is told.

`DELETE /hub/api/users/{name}/server` is JupyterHub's own. What is new about it happens before: who
asks decides what becomes of files that exist only in the server.
"""

import time
from datetime import UTC
from http import HTTPStatus
from typing import Any

from jupyterhub.apihandlers.users import UserServerAPIHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.utils import url_path_join
from tornado import web

from quaderno.hub import culling
from quaderno.hub.guard import GuardedSpawner, UnsavedError
from quaderno.hub.inside import ENGINE_ERRORS, InsideError, NoProgramError
from quaderno.hub.named_servers import ChecksChanges, ChecksNames
from quaderno.hub.scoped import WORKAREA_SCOPE, ScopedHandler
from quaderno.hub.workarea import Why

_CHOICES = ("save", "leave")


class ServerHandler(ChecksNames, ChecksChanges, UserServerAPIHandler):
    """JupyterHub's, with one more word in the body of a `DELETE`: `{"workarea": ...}`.

    `save` copies everything and stops only if that worked; `leave` copies nothing, for the person
    alone. Without it, `GuardedSpawner.keep` copies what fits. The idle culler gets 202 and no stop
    where files could not be copied: it tries again.
    """

    @needs_scope("delete:servers")
    async def delete(self, user_name: str, server_name: str = "") -> None:
        if self._abandoned(user_name, server_name):
            self.set_status(HTTPStatus.ACCEPTED)
            return
        spawner = self._ready(user_name, server_name)
        choice = self._choice(user_name)
        if spawner is not None and not await self._prepared(spawner, choice):
            self.set_status(HTTPStatus.ACCEPTED)
            return
        await super().delete(user_name, server_name)

    def _abandoned(self, user_name: str, server_name: str) -> bool:
        """Whether it was being looked for by a hub that was restarted, and no longer is."""
        user = self.find_user(user_name)
        spawner = user.spawners.get(server_name) if user else None
        if spawner is None or spawner.pending != "check":
            return False
        spawner.why = self._why(user_name)
        spawner.abandon()
        return True

    def _ready(self, user_name: str, server_name: str) -> GuardedSpawner | None:
        user = self.find_user(user_name)
        if user is None or server_name not in user.spawners:
            return None
        spawner: GuardedSpawner = user.spawners[server_name]
        return spawner if spawner.ready else None

    def _choice(self, user_name: str) -> str | None:
        body = self.get_json_body()
        choice = body.get("workarea") if isinstance(body, dict) else None
        if choice not in (None, *_CHOICES):
            raise web.HTTPError(
                HTTPStatus.BAD_REQUEST, f"workarea is one of {', '.join(_CHOICES)}."
            )
        if choice == "leave" and self._why(user_name) != "person":
            raise web.HTTPError(
                HTTPStatus.FORBIDDEN, "Only whose server it is may leave its files to be lost."
            )
        return choice

    def _why(self, user_name: str) -> Why:
        asking = self.current_user
        own = asking.kind == "user" and asking.name == user_name
        return "person" if own else "administrator"

    async def _prepared(self, spawner: GuardedSpawner, choice: str | None) -> bool:
        """Whether the stop may go on."""
        spawner.why = self._why(spawner.user.name)
        if culling.is_culler(self.current_user):
            return await self._prepared_for_culler(spawner)
        if choice == "leave":
            spawner.leave(spawner.why)
        elif choice == "save":
            try:
                await spawner.keep_all(spawner.why)
            except UnsavedError as error:
                raise web.HTTPError(HTTPStatus.CONFLICT, f"{error} Your server runs on.") from error
        return True

    async def _prepared_for_culler(self, spawner: GuardedSpawner) -> bool:
        started = spawner.orm_spawner.started.replace(tzinfo=UTC).timestamp()
        servers = spawner.quaderno.servers
        spawner.why = culling.why(servers.max_age, time.time() - started)
        try:
            await spawner.keep_for_later(spawner.why)
        except UnsavedError as error:
            self.log.warning("%s is not stopped yet: %r", spawner._log_name, str(error))
            return False
        return True


class CancelHandler(ServerHandler):
    """`POST /hub/quaderno/cancel/{name}/{server}`: the button of a start's page where no script
    runs. It ends what has not started yet; a server that runs has files to be asked about."""

    def check_post_content_type(self) -> bool:
        """That of a form; its token says where it comes from."""
        return True

    def get_json_body(self) -> None:
        """There is none."""

    @needs_scope("delete:servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        if self._ready(user_name, server_name) is None:
            await self.delete(user_name, server_name)
        self.redirect(url_path_join(self.hub.base_url, "home"))


class WorkareaHandler(ScopedHandler):
    """`GET /hub/api/quaderno/users/{name}/workarea[?server=]`: files that exist only there."""

    scope = WORKAREA_SCOPE
    what = "files"

    async def get(self, username: str) -> None:
        spawner = self._spawner(username)
        if not spawner.ready:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "This server is not running.")
        try:
            found = await spawner.look()
        except NoProgramError as error:
            raise web.HTTPError(
                HTTPStatus.NOT_IMPLEMENTED,
                "The image of this server cannot say which files exist only in it.",
            ) from error
        except (InsideError, *ENGINE_ERRORS) as error:
            self.log.warning("Cannot look into %s: %s", spawner._log_name, error)
            raise web.HTTPError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server does not say which files exist only in it.",
            ) from error
        self._answer(found.model_dump())

    def _spawner(self, username: str) -> GuardedSpawner:
        """The server that the query names; the default server, if it names none."""
        user = self._find(username)
        name = self.get_argument("server", "")
        if name and name not in user.orm_spawners:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "No such server.")
        spawner: GuardedSpawner = user.spawners[name]
        return spawner

    def _answer(self, answer: dict[str, Any]) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write(answer)


class NoticeHandler(WorkareaHandler):
    """`GET .../workarea/notice`: what is told of the last stop; `DELETE`: it is read."""

    async def get(self, username: str) -> None:
        spawner = self._spawner(username)
        self._answer({"running": bool(spawner.active), "notice": spawner.notice()})

    async def delete(self, username: str) -> None:
        self._spawner(username).dismiss()
        self.set_status(HTTPStatus.NO_CONTENT)
