"""What a server has said last: for the page of its start, and for what is told of a failed one."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from docker.errors import NotFound
from tornado import web

from quaderno.hub import redaction
from quaderno.hub.inside import ENGINE_ERRORS
from quaderno.hub.scoped import LOG_SCOPE, ScopedHandler

LINES = 200
_MOST = 64 * 1024  # characters; the newest are kept


async def last_lines(docker: Callable[..., Awaitable[Any]], container: str, count: int) -> str:
    """The last `count` lines of a container's output, without secrets.

    `docker` calls the engine in a thread; raises what it raises.
    """
    inspected = await docker("inspect_container", container)
    said: bytes = await docker("logs", container, tail=count)
    text = said.decode(errors="replace")[-_MOST:]
    secrets = redaction.secrets_in(inspected["Config"]["Env"] or [])
    return redaction.redacted(text, secrets).strip("\n")


class LogHandler(ScopedHandler):
    """`GET /hub/api/quaderno/users/{name}/log[?server=]`: the last lines of a server, as it starts
    and while it runs."""

    scope = LOG_SCOPE
    what = "servers"

    async def get(self, username: str) -> None:
        spawner = self._find(username).spawners.get(self.get_argument("server", ""))
        if spawner is None or not spawner.active or not spawner.object_id:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "There is no server that could say anything.")
        try:
            lines = await last_lines(spawner.docker, spawner.object_id, LINES)
        except NotFound as error:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "This server has just ended.") from error
        except ENGINE_ERRORS as error:
            self.log.warning("Output of %s: %s", spawner._log_name, error)
            raise web.HTTPError(
                HTTPStatus.SERVICE_UNAVAILABLE, "The container engine does not answer now."
            ) from error
        self.set_header("Cache-Control", "no-store")
        self.write({"lines": lines.splitlines()})
