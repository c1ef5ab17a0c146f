"""Servers as containers on a Docker engine: `server.py` on dockerspawner."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, ClassVar, TypeVar

from docker import APIClient
from docker.errors import APIError, NotFound
from jupyterhub.utils import maybe_future
from traitlets import Any as AnyTrait

from quaderno.config import Config
from quaderno.errors import OptionsError, StorageError
from quaderno.hub import (
    endings,
    fetched_images,
    image_check,
    leaving,
    networks,
    options,
    server,
    start_failures,
)
from quaderno.hub.agent_client import AgentClient, shared
from quaderno.hub.answering import Beginning
from quaderno.hub.attempts import attempts, named
from quaderno.hub.failures import SUGGESTION, StartFailure
from quaderno.hub.guard import GuardedSpawner
from quaderno.hub.inside import ENGINE_ERRORS
from quaderno.hub.local_files import RemembersNode
from quaderno.hub.offering import Offers
from quaderno.hub.progress import Event, Progress
from quaderno.hub.turns import Turns

T = TypeVar("T")

# Seconds a start waits for mounts that are neither there nor known to be unavailable.
_STORAGE_PATIENCE = 10
# Seconds a stop waits for an engine that does not answer, and between two tries.
_ENGINE_PATIENCE = 60
_TRY_AGAIN_AFTER = 2
# Seconds that JupyterHub waits for a server whose stop was asked for.
_ABANDONED = 1


class QuadernoDockerSpawner(Offers, RemembersNode, GuardedSpawner):
    """One container a server, confined as `server.py` says, on a network of its own."""

    quaderno: Config = AnyTrait(config=True, help="The instance's settings.")

    # dockerspawner's own default is a single thread, in which one slow stop delays all others.
    _executor = ThreadPoolExecutor(16, thread_name_prefix="docker")
    turns: ClassVar[Turns] = Turns()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = Progress()
        self.chosen: options.ServerOptions | None = None
        self._outstanding: set[asyncio.Future[Any]] = set()
        self._awaited: asyncio.Future[None] | None = None
        self._started_with = self.orm_spawner.user_options if self.orm_spawner else None
        self._suggested: dict[str, Any] = {}
        self._failed_with: dict[str, Any] = {}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._failed_with = state.get("failed_with", {})

    def get_state(self) -> dict[str, Any]:
        """With what has failed: JupyterHub makes another spawner for the form that comes next."""
        state: dict[str, Any] = super().get_state()
        return state | {"failed_with": self._failed_with} if self._failed_with else state

    @property
    def agent(self) -> AgentClient:
        """The node agent."""
        return shared(self.quaderno.agent_socket)

    def offer(self) -> options.Offer:
        """For the form: what a link suggests, else what failed, else what was chosen last."""
        suggested, self._suggested = self._suggested, {}  # for the page that the link opened only
        last = suggested or self._failed_with or self.chosen_last()
        return self.offered(last, suggested=bool(suggested))

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
        self.extra_host_config = server.host_config(self.quaderno, chosen, self.gpus)

    def get_env(self) -> dict[str, str]:
        env: dict[str, str] = super().get_env()
        if self.chosen is not None:
            env |= server.environment(self.quaderno, self.chosen, self.gpus)
        return env

    async def check_allowed(self, image: str) -> str:
        """dockerspawner's hook; `options.parse` has allowed and resolved the image already."""
        image = self.chosen.image if self.chosen else image
        await image_check.require(self.quaderno, self.engine_client, image, self.groups)
        return image

    # --- start

    async def start(self) -> tuple[str, int]:
        """Where the server answers. Raises StartFailure with a sentence for the user."""
        try:
            with self._starting(), named(self.log, self._log_name):
                where = await self._start()
        except BaseException:
            # JupyterHub has saved the options already; those that failed must not be the next
            # start's default.
            self.orm_spawner.user_options = self._started_with
            self._failed_with = self.user_options
            raise
        self._started_with, self._failed_with = self.user_options, {}
        self.remember_image(self.image)
        return where

    async def _start(self) -> tuple[str, int]:
        self.steps, self.answers = Progress(), False
        self.steps.begin("options")
        await self.look_at_engine()
        try:
            chosen = options.parse(self.quaderno, self.user_options, self.bounds())
        except OptionsError as error:
            raise StartFailure(error.message, reason="options") from error
        self.steps.done("options")
        await self.wait_for_room(chosen)
        where = await attempts(lambda: self._attempt(chosen), self._clear, self.steps, self.log)
        self.answers = True
        return where

    async def _attempt(self, chosen: options.ServerOptions) -> tuple[str, int]:
        self._apply(chosen)
        try:
            ip, port = await super().start()
            await self._answers(ip, port)
        except ENGINE_ERRORS as error:
            cause = start_failures.ENGINE_SILENT
            if isinstance(error, APIError):
                cause = start_failures.refused(str(error.explanation), error.status_code or 0)
            raise cause.failure(f"container engine: {error}", image=self.image) from error
        finally:
            self.turns.give(self.object_name)
        return ip, port

    async def pull_image(self, image: str) -> None:
        """Pull `image` unless it is here."""
        self.steps.begin("image", image)
        try:
            await self.docker("inspect_image", image)
        except NotFound:
            await fetched_images.pull(self.quaderno, self.client, image, self.steps, self.log)
        self.steps.done("image")

    async def get_command(self) -> list[str]:
        """The image's own program."""
        image = await self.docker("inspect_image", self.image)
        if not image["Config"]["Cmd"]:
            raise start_failures.NO_PROGRAM.failure(image=self.image)
        command: list[str] = await super().get_command()
        return command

    async def create_object(self) -> Any:
        """Directories and network first, which the container names, and the mounts meanwhile."""
        await self.turns.take(self.object_name, self.steps)
        self.steps.begin("storage")
        try:
            await self._tracked(self.agent.ensure(self.user.name, self.name))
        except StorageError as error:
            raise start_failures.AGENT_SILENT.failure(str(error)) from error
        self.local_is_here()
        self.steps.begin("container")
        await self._ensure_network()
        return await super().create_object()

    async def remove_object(self) -> None:
        """Of one with this name that should not be there; dockerspawner would kill it."""
        said = await self._in_thread(leaving.end, self.object_id, self.quaderno.servers.saved_size)
        self.log.warning("Ended a container that was left: %s", said or self.object_name)

    async def start_object(self) -> None:
        """From here on, a hub that was restarted can go on where this one has been."""
        self._save_state()
        await super().start_object()
        self.steps.done("container")

    async def _ensure_network(self) -> None:
        pool = self.quaderno.servers.network
        try:
            await self._in_thread(networks.ensure, self.object_name, pool, self._labels())
        except networks.PoolExhaustedError as error:
            raise start_failures.NO_PLACE.failure(str(error)) from error

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
        url = f"http://{ip}:{port}{self.server.base_url}api"
        storage = asyncio.create_task(self._storage_settled())
        try:
            await self._beginning().answers(url, self.http_timeout, self._is_slow)
            self.steps.done("server")
            self.turns.give(self.object_name)
            await storage
        finally:
            storage.cancel()

    def _beginning(self) -> Beginning:
        about: dict[str, Any] = {"image": self.image, "memory": self.mem_limit or 0}
        return Beginning(self.engine_client, self.docker, self.object_id, **about)

    def _is_slow(self) -> None:
        self.steps.begin("server", "this takes longer than usual; look at what the server says")

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

    # --- while it runs, and stop

    async def poll(self) -> int | str | None:
        """None while the server runs, else why it ended.

        An engine that does not answer means unknown, which must read as running: JupyterHub
        forgets servers that it believes stopped.
        """
        if not self.object_id:
            return 0  # none was created, or its start was never completed
        try:
            inspected = await endings.described(self.docker, self.object_name)
        except NotFound:
            return 0
        except ENGINE_ERRORS as error:
            self.log.warning("Cannot ask the engine about %s: %s", self.object_name, error)
            return None
        if inspected["State"]["Running"]:
            self.note_use(inspected)
            return None
        self.ending = endings.ending(inspected, await self._engine_since())
        return self.ending.words

    async def _engine_since(self) -> str | None:
        """When the engine was started: it makes its default network anew then."""
        try:
            created: str = (await self.docker("inspect_network", "bridge"))["Created"]
        except ENGINE_ERRORS:
            return None
        return created

    async def get_url(self) -> str:
        """Where it answers, for a hub that was restarted: the last one may not have come to write
        that down. JupyterHub gives a server little time then, so this waits for one that works,
        and for an engine that does not answer."""
        self.network_name = self.object_name
        while not self.server.ip:
            try:
                self.server.ip, self.server.port = await self.get_ip_and_port()
            except ENGINE_ERRORS as error:
                self.log.warning("Cannot ask the engine about %s: %s", self.object_name, error)
                await asyncio.sleep(_TRY_AGAIN_AFTER)
        url: str = self.server.url
        answers = self._beginning().answers(f"{url}api", self.http_timeout, lambda: None)
        self._awaited = asyncio.ensure_future(answers)
        await asyncio.wait([self._awaited])  # however it ended, JupyterHub looks for itself
        self._finished(self._awaited)
        return url

    def abandon(self) -> None:
        """Have JupyterHub stop a server that a restarted hub still waits for: it stops what does
        not answer in time."""
        self.http_timeout = _ABANDONED
        if self._awaited:
            self._awaited.cancel()

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
        await self._settled()
        self.note_end()
        await self._clear()
        self.give_up_room()
        try:
            await self.agent.release(self.user.name, self.name)
        except StorageError as error:
            self.log.warning("Mounts of %s not released: %s", self.user.name, error)
        await maybe_future(super().run_post_stop_hook())

    async def _settled(self) -> None:
        while self._outstanding:
            await asyncio.wait(self._outstanding)

    async def _clear(self) -> None:
        """Of a try that failed, or a server that ended, nothing is left at the engine."""
        await self._settled()
        await self._remove(self._remove_container)
        await self._remove(networks.remove)
        self.object_id = ""

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
