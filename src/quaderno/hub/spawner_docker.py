"""Servers as containers on a Docker engine: `server.py` on dockerspawner."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
from docker import APIClient
from docker.errors import APIError, NotFound
from jupyterhub.utils import maybe_future
from traitlets import Any as AnyTrait

from quaderno.config import Config
from quaderno.errors import OptionsError, StorageError
from quaderno.hub import networks, options, pulling, server
from quaderno.hub.agent_client import AgentClient, shared
from quaderno.hub.failures import SUGGESTION, StartFailure
from quaderno.hub.guard import GuardedSpawner
from quaderno.hub.inside import ENGINE_ERRORS
from quaderno.hub.local_files import RemembersNode
from quaderno.hub.progress import Event, Progress

T = TypeVar("T")

# Seconds between two looks at a server that is starting; it answers within a second or two.
_LOOK_EVERY = 0.015
_LOOK_AT_CONTAINER_EVERY = 0.5
# Seconds a start waits for mounts that are neither there nor known to be unavailable.
_STORAGE_PATIENCE = 10
# Seconds a stop waits for an engine that does not answer, and between two tries.
_ENGINE_PATIENCE = 60
_TRY_AGAIN_AFTER = 2


class QuadernoDockerSpawner(RemembersNode, GuardedSpawner):
    """One container a server, confined as `server.py` says, on a network of its own."""

    quaderno: Config = AnyTrait(config=True, help="The instance's settings.")

    # dockerspawner's own default is a single thread, in which one slow stop delays all others.
    _executor = ThreadPoolExecutor(16, thread_name_prefix="docker")
    # For plain HTTP inside this machine; making a client reads all CA certificates.
    _http = httpx.AsyncClient(timeout=5, verify=False, trust_env=False)  # noqa: S501

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = Progress()
        self.chosen: options.ServerOptions | None = None
        self._outstanding: set[asyncio.Future[Any]] = set()
        self._started_with = self.orm_spawner.user_options if self.orm_spawner else None
        self._suggested: dict[str, Any] = {}
        self._failed_with: dict[str, Any] = {}

    @property
    def agent(self) -> AgentClient:
        """The node agent."""
        return shared(self.quaderno.agent_socket)

    def offer(self) -> options.Offer:
        """What the form shows, for its template: what a link suggests, else what failed, else
        what was chosen last."""
        suggested, self._suggested = self._suggested, {}  # for the page that the link opened only
        last = suggested or self._failed_with or self.orm_spawner.user_options or {}
        return options.offer(self.quaderno, last, suggested=bool(suggested))

    def options_from_query(self, query_data: dict[str, list[str]]) -> dict[str, Any]:
        """JupyterHub would start a server from a mere link, which anybody may have made: with an
        image of theirs, and this person's files. Here a link fills in the form and no more.
        """
        self._suggested = options.from_form(query_data)
        raise StartFailure("", reason=SUGGESTION, status=HTTPStatus.OK)

    # --- what the container is

    def _object_name_default(self) -> str:
        return server.container_name(self.quaderno, self.user.name, self.name)

    def _labels(self) -> dict[str, str]:
        return server.labels(self.quaderno, self.user.name, self.name)

    def _apply(self, chosen: options.ServerOptions) -> None:
        self.chosen = chosen
        self.image = chosen.image
        self.cpu_limit = chosen.cpu
        self.mem_limit = chosen.memory
        self.object_name = self._object_name_default()
        self.network_name = self.object_name
        self.volumes = server.volumes(self.quaderno, self.user.name)
        self.extra_create_kwargs = {
            "user": server.USER,
            "working_dir": server.WORKAREA,
            "labels": self._labels(),
        }
        self.extra_host_config = server.host_config(self.quaderno, chosen)

    def get_env(self) -> dict[str, str]:
        env: dict[str, str] = super().get_env()
        if self.chosen is not None:
            env |= server.environment(self.quaderno, self.chosen)
        return env

    async def check_allowed(self, image: str) -> str:
        """dockerspawner's hook; `options.parse` has allowed and resolved the image already."""
        return self.chosen.image if self.chosen else image

    # --- start

    async def start(self) -> tuple[str, int]:
        """Start the server and return where it answers.

        Raises StartFailure with a sentence for the user when it cannot start.
        """
        try:
            where = await self._start()
        except BaseException:
            # JupyterHub has saved the options already; those that failed must not be the next
            # start's default.
            self.orm_spawner.user_options = self._started_with
            self._failed_with = self.user_options
            raise
        self._started_with, self._failed_with = self.user_options, {}
        return where

    async def _start(self) -> tuple[str, int]:
        self.steps, self.answers = Progress(), False
        self.steps.begin("options")
        try:
            self._apply(options.parse(self.quaderno, self.user_options))
        except OptionsError as error:
            raise StartFailure(error.message, reason="options") from error
        self.steps.done("options")
        try:
            ip, port = await super().start()
            await self._answers(ip, port)
            self.answers = True
        except ENGINE_ERRORS as error:
            refused = isinstance(error, APIError)
            raise StartFailure(
                "The container engine refused to start this server."
                if refused
                else "The container engine does not answer. Try again in a moment.",
                reason="engine_refused" if refused else "engine_unreachable",
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                details=f"container engine: {error}",
            ) from error
        return ip, port

    async def pull_image(self, image: str) -> None:
        """Pull `image` unless it is here."""
        self.steps.begin("image", image)
        try:
            await self.docker("inspect_image", image)
        except NotFound:
            patience = self.quaderno.servers.stall_timeout
            await pulling.pull(self.client, image, self.steps, self.log, stall_timeout=patience)
        self.steps.done("image")

    def _bad_image(self, what: str, error: APIError | None = None) -> StartFailure:
        reason = f": {error.explanation}" if error else ""
        return StartFailure(
            f"The image {self.image} {what}.",
            reason="image",
            details=f"The image {self.image} {what}{reason}",
        )

    async def get_command(self) -> list[str]:
        """The image's own program."""
        image = await self.docker("inspect_image", self.image)
        if not image["Config"]["Cmd"]:
            raise self._bad_image("says no program to start, so it is not one for notebooks")
        command: list[str] = await super().get_command()
        return command

    async def create_object(self) -> Any:
        """Directories and network first, which the container names, and the mounts meanwhile."""
        self.steps.begin("storage")
        try:
            await self._tracked(self.agent.ensure(self.user.name, self.name))
        except StorageError as error:
            raise StartFailure(
                "The storage agent of this machine does not answer. Try again in a moment.",
                reason="agent_unreachable",
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                details=str(error),
            ) from error
        self.local_is_here()
        self.steps.begin("container")
        await self._ensure_network()
        return await super().create_object()

    async def start_object(self) -> None:
        try:
            await super().start_object()
        except APIError as error:
            if "executable file not found" in str(error.explanation):
                raise self._bad_image("lacks the program that it says to start", error) from error
            raise
        self.steps.done("container")

    async def _ensure_network(self) -> None:
        pool = self.quaderno.servers.network
        try:
            await self._in_thread(networks.ensure, self.object_name, pool, self._labels())
        except networks.PoolExhaustedError as error:
            raise StartFailure(
                "All places for servers on this machine are taken. Try again later.",
                reason="no_place",
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                details=str(error),
            ) from error

    # --- calls that go on when a start is cancelled

    def docker(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """A call of the engine, in a thread, which a cancelled start leaves running."""
        return self._tracked(super().docker(method, *args, **kwargs))

    def _in_thread(self, function: Any, *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        return self._tracked(
            loop.run_in_executor(self.executor, lambda: function(self.client, *args))
        )

    def _tracked(self, call: Awaitable[T]) -> asyncio.Future[T]:
        """`call`, which cleaning up waits for: its effect must not come after the clean-up."""
        future = asyncio.ensure_future(call)
        self._outstanding.add(future)
        future.add_done_callback(self._finished)
        return asyncio.shield(future)

    def _finished(self, call: asyncio.Future[Any]) -> None:
        self._outstanding.discard(call)
        if not call.cancelled():
            call.exception()  # seen; whoever awaited it has it, unless the start was cancelled

    async def _answers(self, ip: str, port: int) -> None:
        """Wait until JupyterLab answers and the storage is settled, whichever is later."""
        self.steps.begin("server")
        storage = asyncio.create_task(self._storage_settled())
        try:
            await self._server_answers(f"http://{ip}:{port}{self.server.base_url}api")
            self.steps.done("server")
            await storage
        finally:
            storage.cancel()

    async def _storage_settled(self) -> None:
        """A store that is down does not keep a server from starting: the files come later."""
        try:
            state = await self.agent.wait(self.user.name, _STORAGE_PATIENCE)
        except StorageError as error:
            self.log.warning("Storage of %s: %s", self.user.name, error)
            self.steps.done("storage", "not available yet, it will appear by itself", state="late")
            return
        if state.ready:
            self.steps.done("storage")
        else:
            detail = state.reason or "not available yet, it will appear by itself"
            self.steps.done("storage", detail, state="late")

    async def _server_answers(self, url: str) -> None:
        deadline = time.monotonic() + self.http_timeout
        looked_at_container = time.monotonic()
        while not await self._one_answer(url):
            await asyncio.sleep(_LOOK_EVERY)
            now = time.monotonic()
            if now - looked_at_container > _LOOK_AT_CONTAINER_EVERY:
                looked_at_container = now
                await self._still_runs()
            if now > deadline:
                raise StartFailure(
                    f"JupyterLab did not answer within {self.http_timeout} seconds.",
                    reason="timeout",
                    status=HTTPStatus.GATEWAY_TIMEOUT,
                    details=await self._last_lines(),
                )

    async def _one_answer(self, url: str) -> bool:
        try:
            await self._http.get(url)
        except httpx.TransportError:
            return False
        return True

    async def _still_runs(self) -> None:
        state = (await self.docker("inspect_container", self.object_id))["State"]
        if state["Running"]:
            return
        lines = await self._last_lines()
        if state["OOMKilled"]:
            raise StartFailure(
                "The server needed more memory than it was given while starting. "
                "Choose more memory.",
                reason="out_of_memory",
                details=lines,
            )
        raise StartFailure(
            f"The image's server program ended with code {state['ExitCode']} instead of starting.",
            reason="exited",
            details=lines,
        )

    async def _last_lines(self) -> str:
        output = await self.docker("logs", self.object_id, tail=20)
        return f"last lines of {self.object_name}:\n{output.decode(errors='replace')}"

    # --- while it runs, and stop

    async def poll(self) -> int | str | None:
        """None while the server runs, else why it ended.

        An engine that does not answer means unknown, which must read as running: JupyterHub
        forgets servers that it believes stopped.
        """
        if not self.object_id:
            return 0  # none was created, or its start was never completed
        try:
            inspected = await self.docker("inspect_container", self.object_name)
        except NotFound:
            return 0
        except ENGINE_ERRORS as error:
            self.log.warning("Cannot ask the engine about %s: %s", self.object_name, error)
            return None
        state = inspected["State"]
        if state["Running"]:
            return None
        return f"exit code {state['ExitCode']}" + (", out of memory" if state["OOMKilled"] else "")

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002 - JupyterHub's signature
        """Copy what exists only in the container and stop it; the rest goes in
        `run_post_stop_hook`.

        Waits a minute for an engine that does not answer, then raises: to forget a server that
        may run is worse than to be slow.
        """
        await self.keep()
        deadline = time.monotonic() + _ENGINE_PATIENCE
        while True:
            try:
                await self.docker("stop", self.object_name)
            except NotFound:
                return
            except ENGINE_ERRORS as error:
                if isinstance(error, APIError) or time.monotonic() > deadline:
                    raise
                self.log.warning("Cannot stop %s yet: %s", self.object_name, error)
                await asyncio.sleep(_TRY_AGAIN_AFTER)
            else:
                return

    async def run_post_stop_hook(self) -> None:
        """Leave nothing behind: container, network, use of the mounts.

        JupyterHub calls this after every end of a server, whoever ended it, and after a start
        that failed or was cancelled. The agent drains what is not uploaded yet; this does not
        wait for it.
        """
        while self._outstanding:
            await asyncio.wait(self._outstanding)
        self.note_end()
        await self._remove(self._remove_container)
        await self._remove(networks.remove)
        self.object_id = ""
        try:
            await self.agent.release(self.user.name, self.name)
        except StorageError as error:
            self.log.warning("Mounts of %s not released: %s", self.user.name, error)
        await maybe_future(super().run_post_stop_hook())

    async def _remove(self, remove: Callable[[APIClient, str], None]) -> None:
        try:
            await self._in_thread(remove, self.object_name)
        except ENGINE_ERRORS as error:
            self.log.warning("%s of %s stays: %s", remove.__name__, self.object_name, error)

    @staticmethod
    def _remove_container(client: APIClient, name: str) -> None:
        try:
            client.remove_container(name, v=True, force=True)
        except NotFound:
            return

    async def progress(self) -> AsyncGenerator[Event, None]:
        """The steps of this start, for the page that watches."""
        async with aclosing(self.steps.events()) as events:
            async for event in events:
                yield event
