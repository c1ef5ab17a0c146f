"""The node agent: makes and looks after the FUSE mounts of this node.

It runs as root, for mount(2), and is reached in two ways: an API on a unix socket, which the hub
and root may use (the kernel says who connects), and the key endpoint on loopback, which each
rclone may use with a token of its own. It keeps nothing in memory that matters: the mounts belong
to rclone processes which outlive it, and which servers use them is on disk.
"""

import asyncio
import contextlib
import grp
import logging
import os
import pwd
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from quaderno import names
from quaderno.config import Config, load_file
from quaderno.errors import QuadernoError, StorageError, StorageRefusedError
from quaderno.storage import (
    all_quotas,
    ballast,
    bridges,
    buckets,
    description_disk,
    directories,
    keys,
    metrics,
    mount_table,
    mounts,
)
from quaderno.storage.states import State
from quaderno.storage.sts import Keys
from quaderno.storage.unrepeated import Unrepeated
from quaderno.storage.user_mounts import UserMounts

LOG = logging.getLogger("quaderno.agent")
HUB_USER = "quaderno-hub"
DEFAULT_SERVER = "-"  # how the default server, whose name is empty, is written in a path
WAIT_MOST, DRAIN_MOST = 60.0, 3600.0  # seconds
HUB_TIMEOUT = httpx.Timeout(30, connect=3)  # seconds; the hub asks the store before it answers


class Agent:
    """Everybody's mounts on this node."""

    def __init__(self, config: Config, client: httpx.AsyncClient) -> None:
        self.config, self.keys = config, keys.HubKeys(config, client)
        self.users: dict[str, UserMounts] = {}

    def user(self, username: str) -> UserMounts:
        """The mounts of `username`, made known if they are not."""
        if username not in self.users:
            plan = mounts.plan(self.config, username)
            self.users[username] = UserMounts(self.config, self.keys, plan)
        return self.users[username]

    def resume(self) -> None:
        """Take up what an earlier agent left: mounts in use, and files not uploaded yet."""
        for path in sorted(mounts.users_directory(self.config).iterdir()):
            if names.storage_problem(path.name) is None:
                self.user(path.name).run()

    def detach(self) -> None:
        """Leave all mounts as they are."""
        for user in self.users.values():
            user.detach()

    def mounts_changed(self) -> None:
        """Have a mount that somebody took away made again."""
        present = {mount.path for mount in mount_table.below(self.config.mounts)}
        for user in self.users.values():
            user.mounts_changed(present)

    def warnings(self) -> list[str]:
        """What is wrong with this node's own disks. Blocking."""
        found = []
        with contextlib.suppress(OSError):
            found = [ballast.warning(self.config), description_disk.warning(self.config)]
        return [warning for warning in found if warning]

    async def drain(self, seconds: float) -> dict[str, Any]:
        """Upload and unmount everything; after `seconds`, what is not finished.

        Earlier when all that is left is `stalled`: it waits for the keys or the store.
        """
        deadline = time.monotonic() + seconds
        left = list(self.users.values())
        for user in left:
            user.suspend()
        while True:
            remaining = max(deadline - time.monotonic(), 0)
            await asyncio.gather(*(user.wait_unmounted(remaining) for user in left))
            left = [user for user in self.users.values() if user.state is not State.UNMOUNTED]
            stalled = all(user.stalled for user in left)
            if stalled or time.monotonic() >= deadline:
                break
        described = [user.describe() for user in left]
        return {"drained": not left, "stalled": bool(left) and stalled, "pending": described}


# --- the API on the unix socket


async def health(request: Request) -> JSONResponse:
    """GET /health: `warnings` are an operator's business."""
    agent = _agent(request)
    warnings = await asyncio.to_thread(agent.warnings)
    return JSONResponse({"status": "ok", "users": len(agent.users), "warnings": warnings})


async def users(request: Request) -> JSONResponse:
    """GET /users: everybody whose storage is mounted, or ought to be."""
    return JSONResponse({"users": [user.describe() for user in await _active(request)]})


async def metrics_text(request: Request) -> Response:
    """GET /metrics, for Prometheus."""
    active = await _active(request)
    disk = await asyncio.to_thread(ballast.measure, _agent(request).config)
    text = metrics.exposition((user.describe() for user in active), disk)
    return Response(text, media_type=metrics.CONTENT_TYPE)


async def user_state(request: Request) -> JSONResponse:
    """GET /users/{name}?wait=SECONDS: returns when ready or known to be unavailable."""
    user = _agent(request).user(_username(request))
    await user.wait(_seconds(request.query_params.get("wait", "0"), WAIT_MOST))
    await user.look()
    return JSONResponse(user.describe())


async def use(request: Request) -> JSONResponse:
    """PUT /users/{name}/servers/{server}: mount in the background; answers at once."""
    user, server = _agent(request).user(_username(request)), _server(request)
    try:
        directories.prepare_binds(user.plan)
        user.use(server)
    except OSError as error:
        raise HTTPException(507, f"{error.filename}: {error.strerror}") from error
    return JSONResponse(user.describe())


async def release(request: Request) -> JSONResponse:
    """DELETE /users/{name}/servers/{server}: after the last, upload and unmount."""
    user = _agent(request).user(_username(request))
    user.release(_server(request))
    return JSONResponse(user.describe())


async def refresh(request: Request) -> JSONResponse:
    """POST /users/{name}/refresh: show what was changed through S3 or by others."""
    user = _agent(request).user(_username(request))
    try:
        await user.refresh()
    except StorageError as error:
        raise HTTPException(503, str(error)) from error
    return JSONResponse(user.describe())


async def take_over(request: Request) -> JSONResponse:
    """POST /users/{name}/take-over: mount here what another node has, of which nothing is heard."""
    user = _agent(request).user(_username(request))
    try:
        user.take_over()
    except StorageRefusedError as error:
        raise HTTPException(409, error.message) from error
    return JSONResponse(user.describe())


async def clean_up(request: Request) -> JSONResponse:
    """POST /users/{name}/clean-up: a full bucket may be written to for a while, to delete."""
    user = _agent(request).user(_username(request))
    await user.clean_up()
    return JSONResponse(user.describe())


async def drain(request: Request) -> JSONResponse:
    """POST /drain {"deadline": SECONDS}: before this node or the service stops.

    Answers {"drained": BOOL, "stalled": BOOL, "pending": [user ...]}; asking again in vain when
    `stalled`.
    """
    try:
        deadline = (await request.json())["deadline"]
    except (ValueError, KeyError, TypeError) as error:
        raise HTTPException(400, 'expected {"deadline": SECONDS}') from error
    return JSONResponse(await _agent(request).drain(_seconds(deadline, DRAIN_MOST)))


async def _active(request: Request) -> list[UserMounts]:
    """Everybody whose storage is mounted, or ought to be, with figures of now."""
    known = _agent(request).users.values()
    active = [user for user in known if user.state is not State.UNMOUNTED]
    await asyncio.gather(*(user.look() for user in active))
    return active


def _agent(request: Request) -> Agent:
    agent: Agent = request.app.state.agent
    return agent


def _username(request: Request) -> str:
    name: str = request.path_params["name"]
    if problem := names.storage_problem(name):
        raise HTTPException(400, problem)
    return name


def _server(request: Request) -> str:
    server: str = request.path_params["server"]
    if not 0 < len(server) <= 255:
        raise HTTPException(400, "a server's name has 1 to 255 characters")
    return "" if server == DEFAULT_SERVER else server


def _seconds(value: Any, most: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1
    if not 0 <= seconds <= most:
        raise HTTPException(400, f"expected seconds from 0 to {most:.0f}")
    return seconds


async def _explain(_request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return JSONResponse({"message": getattr(error, "detail", str(error))}, status_code=status)


def api(agent: Agent) -> Starlette:
    """The application on the unix socket."""
    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/users", users),
            Route("/metrics", metrics_text),
            Route("/users/{name}", user_state),
            Route("/users/{name}/refresh", refresh, methods=["POST"]),
            Route("/users/{name}/take-over", take_over, methods=["POST"]),
            Route("/users/{name}/clean-up", clean_up, methods=["POST"]),
            Route("/users/{name}/servers/{server:path}", use, methods=["PUT"]),
            Route("/users/{name}/servers/{server:path}", release, methods=["DELETE"]),
            Route("/drain", drain, methods=["POST"]),
        ],
        exception_handlers={HTTPException: _explain},
    )
    app.state.agent = agent
    return app


# --- the program


def prepare(config: Config) -> None:
    """Directories; as root, and again at each start. Raises OSError."""
    directories.prepare_node(config)
    directory = config.agent_socket.parent
    directory.mkdir(mode=0o750, exist_ok=True)
    directory.chmod(0o750)
    os.chown(directory, 0, _hub_group())


def command(config: Config) -> list[str]:  # noqa: ARG001 - every component has the same functions
    """The program with its arguments; it reads the file that QUADERNO_CONFIG names."""
    return [sys.executable, "-m", "quaderno.storage.agent"]


def _hub_group() -> int:
    try:
        return grp.getgrnam(HUB_USER).gr_gid
    except KeyError:
        return 0


def allowed_uids() -> frozenset[int]:
    """Who may use the API: root, and the hub's system user where there is one."""
    try:
        return frozenset({0, pwd.getpwnam(HUB_USER).pw_uid})
    except KeyError:
        return frozenset({0})


def peer_uid(connection: socket.socket) -> int:
    """The user of the process that connected (unix(7), SO_PEERCRED)."""
    credentials = connection.getsockopt(
        socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
    )
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


def protocol(unix_app: Any, loopback_app: Any) -> type[H11Protocol]:
    """HTTP whose application depends on how the client connected, and who it is."""
    uids = allowed_uids()

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            connection = transport.get_extra_info("socket")
            if connection.family != socket.AF_UNIX:
                self.app = loopback_app
            elif peer_uid(connection) in uids:
                self.app = unix_app
            else:
                LOG.warning("user %s may not use the agent", peer_uid(connection))
                transport.abort()

    return Protocol


def listen(config: Config) -> list[socket.socket]:
    """The two listening sockets. Raises OSError."""
    loopback = socket.socket()
    loopback.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    loopback.bind(("127.0.0.1", config.ports.agent_keys))
    path = config.agent_socket
    path.unlink(missing_ok=True)
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(path))
    path.chmod(0o660)
    os.chown(path, 0, _hub_group())
    return [loopback, unix]


@contextlib.asynccontextmanager
async def running(config: Config) -> AsyncIterator[Agent]:
    """An agent that has taken up what an earlier one left."""
    async with httpx.AsyncClient(timeout=HUB_TIMEOUT, trust_env=False) as client:
        agent = Agent(config, client)
        # Reads the S3 service's description now rather than while somebody waits.
        await asyncio.to_thread(buckets.client, config, Keys.from_container_credentials(_NO_KEYS))
        looking = asyncio.gather(
            ballast.keep_watch(config), all_quotas.keep_watch(config, agent.keys)
        )
        with mount_table.watching(agent.mounts_changed), bridges.without_ipv6(config):
            agent.resume()
            yield agent
            agent.detach()
        looking.cancel()


_NO_KEYS = dict.fromkeys(("AccessKeyId", "SecretAccessKey", "Token"), "none") | {
    "Expiration": "1970-01-01T00:00:00Z"
}


async def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT; the mounts stay."""
    prepare(config)
    sockets = listen(config)
    async with running(config) as agent:
        apps = protocol(api(agent), keys.endpoint(config, agent.keys))
        settings = uvicorn.Config(
            api(agent),
            http=apps,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        await uvicorn.Server(settings).serve(sockets=sockets)


def main() -> None:
    """`python -m quaderno.storage.agent`"""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("quaderno.agent").addFilter(Unrepeated())
    try:
        asyncio.run(serve(load_file(Path(os.environ["QUADERNO_CONFIG"]))))
    except (QuadernoError, OSError) as error:
        sys.exit(f"quaderno agent: {error}")


if __name__ == "__main__":
    main()
