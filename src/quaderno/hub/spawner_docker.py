"""Servers as containers on a Docker engine: `server.py` on dockerspawner."""

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

import httpx
import requests
from docker.errors import APIError, ImageNotFound, NotFound
from dockerspawner import DockerSpawner
from jupyterhub.spawner import SpawnException
from traitlets import Any as AnyTrait

from quaderno.config import Config
from quaderno.errors import OptionsError, StorageError
from quaderno.hub import networks, options, server
from quaderno.hub.agent_client import AgentClient
from quaderno.hub.progress import Event, Progress

# Seconds between two looks at a server that is starting; it answers within a second or two.
_LOOK_EVERY = 0.015
# Seconds a start waits for mounts that are neither there nor known to be unavailable.
_STORAGE_PATIENCE = 10


class QuadernoDockerSpawner(DockerSpawner):
    """One container a server, confined as `server.py` says, on a network of its own."""

    quaderno: Config = AnyTrait(config=True, help="The instance's settings.")

    # dockerspawner's own default is a single thread, in which one slow stop delays all others.
    _executor = ThreadPoolExecutor(16, thread_name_prefix="docker")
    _agent: AgentClient | None = None
    # For plain HTTP inside this machine; making a client reads all CA certificates.
    _http = httpx.AsyncClient(timeout=5, verify=False, trust_env=False)  # noqa: S501

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = Progress()
        self.chosen: options.ServerOptions | None = None
        self._network: asyncio.Future[None] | None = None
        self._started_with = self.orm_spawner.user_options if self.orm_spawner else None

    @property
    def agent(self) -> AgentClient:
        """The node agent, shared by all spawners of this hub."""
        cls = type(self)
        if cls._agent is None:
            cls._agent = AgentClient(self.quaderno.agent_socket)
        return cls._agent

    def offer(self) -> options.Offer:
        """What the form shows, for its template."""
        return options.offer(self.quaderno, self.orm_spawner.user_options or {})

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

        Raises SpawnException with a sentence for the user when it cannot start.
        """
        try:
            where = await self._start()
        except BaseException:
            if self._network is not None:  # `stop` removes it, which it can only once it is there
                await asyncio.wait([self._network])
            # JupyterHub has saved the options already; those that failed must not be the next
            # start's default.
            self.orm_spawner.user_options = self._started_with
            raise
        self._started_with = self.user_options
        return where

    async def _start(self) -> tuple[str, int]:
        self.steps = Progress()
        self.steps.begin("options")
        try:
            self._apply(options.parse(self.quaderno, self.user_options))
        except OptionsError as error:
            raise SpawnException(error.message, reason="options") from error
        self.steps.done("options")
        self._network = asyncio.ensure_future(self._ensure_network())
        try:
            ip, port = await super().start()
            await self._answers(ip, port)
        except ImageNotFound as error:
            raise self._no_image("does not exist, or may not be pulled", error) from error
        except requests.ConnectionError as error:
            raise SpawnException(
                "The container engine does not answer. Try again in a moment.",
                reason="engine_unreachable",
                status_code=HTTPStatus.SERVICE_UNAVAILABLE,
                log_message=f"container engine: {error}",
            ) from error
        return ip, port

    async def pull_image(self, image: str) -> None:
        self.steps.begin("image", image)
        try:
            await super().pull_image(image)
        except ImageNotFound:
            raise
        except APIError as error:
            raise self._no_image("cannot be fetched from its registry", error) from error
        self.steps.done("image")

    def _no_image(self, what: str, error: APIError) -> SpawnException:
        return SpawnException(
            f"The image {self.image} {what}.",
            reason="image",
            log_message=f"image {self.image}: {error.explanation}",
        )

    async def create_object(self) -> Any:
        """Directories and network first, which the container names, and the mounts meanwhile."""
        self.steps.begin("storage")
        try:
            await self.agent.ensure(self.user.name, self.name)
        except StorageError as error:
            raise SpawnException(
                "The storage agent of this machine does not answer. Try again in a moment.",
                reason="agent_unreachable",
                status_code=HTTPStatus.SERVICE_UNAVAILABLE,
                log_message=str(error),
            ) from error
        self.steps.begin("container")
        if self._network is not None:
            await self._network
        return await super().create_object()

    async def start_object(self) -> None:
        await super().start_object()
        self.steps.done("container")

    async def _ensure_network(self) -> None:
        await self._in_thread(
            networks.ensure, self.object_name, self.quaderno.servers.network, self._labels()
        )

    async def _in_thread(self, function: Any, *args: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, function, self.client, *args)

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
            if now - looked_at_container > 1:
                looked_at_container = now
                await self._still_runs()
            if now > deadline:
                raise SpawnException(
                    f"JupyterLab did not answer within {self.http_timeout} seconds.",
                    reason="timeout",
                    status_code=HTTPStatus.GATEWAY_TIMEOUT,
                    log_message=await self._last_lines(),
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
            raise SpawnException(
                "The server needed more memory than it was given while starting. "
                "Choose more memory.",
                reason="out_of_memory",
                log_message=lines,
            )
        raise SpawnException(
            f"The image's server program ended with code {state['ExitCode']} instead of starting.",
            reason="exited",
            log_message=lines,
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
        try:
            inspected = await self.docker("inspect_container", self.object_name)
        except NotFound:
            return 0
        except (APIError, requests.RequestException) as error:
            self.log.warning("Cannot ask the engine about %s: %s", self.object_name, error)
            return None
        self.object_id = inspected["Id"]
        state = inspected["State"]
        if state["Running"]:
            return None
        return f"exit code {state['ExitCode']}" + (", out of memory" if state["OOMKilled"] else "")

    async def stop(self, now: bool = False) -> None:
        """Stop and remove the container and its network, then let go of the mounts.

        The agent drains what is not uploaded yet; this does not wait for it.
        """
        if self.object_id:
            await super().stop(now)
        try:
            await self._in_thread(networks.remove, self.object_name)
        except APIError as error:
            self.log.warning("Network %s stays: %s", self.object_name, error)
        try:
            await self.agent.release(self.user.name, self.name)
        except StorageError as error:
            self.log.warning("Mounts of %s not released: %s", self.user.name, error)

    async def progress(self) -> AsyncGenerator[Event, None]:
        """The steps of this start, for the page that watches."""
        async with aclosing(self.steps.events()) as events:
            async for event in events:
                yield event
