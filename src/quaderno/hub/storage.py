"""Hub handlers for the health of a person's storage, and for showing what was changed elsewhere.

For the person's own pages, servers and tokens; nothing of this machine's paths is told.
"""

from http import HTTPStatus
from typing import Any

from tornado import web

from quaderno.errors import StorageError, StorageRefusedError
from quaderno.hub import agent_client
from quaderno.hub.scoped import STORAGE_SCOPE, ScopedHandler

WITHIN = 4.0  # seconds; who asks looks at a page
_FOR_OPERATORS = ("cloud_storage", "local", "reason")  # may name this machine's directories


class StorageHandler(ScopedHandler):
    """`GET /hub/api/quaderno/users/{name}/storage`: level, message, pending and refused files."""

    scope = STORAGE_SCOPE
    what = "files"

    async def get(self, username: str) -> None:
        await self._answer(username, self._agent().health)

    async def _answer(self, username: str, ask: Any) -> None:
        self._find(username)
        try:
            found = await ask(username, WITHIN)
        except StorageRefusedError as error:
            raise web.HTTPError(HTTPStatus.CONFLICT, error.message) from error
        except StorageError as error:
            self.log.warning("Storage of %s: %s", username, error)
            raise web.HTTPError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "How your files are is not known now. Nothing is lost; look again in a moment.",
            ) from error
        self.set_header("Cache-Control", "no-store")
        self.write({key: value for key, value in found.items() if key not in _FOR_OPERATORS})

    def _agent(self) -> agent_client.AgentClient:
        return agent_client.shared(self.authenticator.quaderno.agent_socket)


class ActionHandler(StorageHandler):
    """Something is done first; then the same answer."""

    async def get(self, username: str) -> None:  # noqa: ARG002
        raise web.HTTPError(HTTPStatus.METHOD_NOT_ALLOWED)


class RefreshHandler(ActionHandler):
    """`POST /hub/api/quaderno/users/{name}/storage/refresh`"""

    async def post(self, username: str) -> None:
        await self._answer(username, self._agent().refresh)


class TakeOverHandler(ActionHandler):
    """`POST /hub/api/quaderno/users/{name}/storage/take-over`: connect the storage here, although
    another node, of which nothing is heard, has not sent everything. HTTP 409 when it is heard of.
    """

    async def post(self, username: str) -> None:
        await self._answer(username, self._agent().take_over)


class CleanUpHandler(ActionHandler):
    """`POST /hub/api/quaderno/users/{name}/storage/clean-up`: a full bucket may be written to for
    a while, so that files can be deleted."""

    async def post(self, username: str) -> None:
        await self._answer(username, self._agent().clean_up)
