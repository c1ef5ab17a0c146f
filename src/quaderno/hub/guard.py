"""A spawner that leaves no file behind: before a container goes, what exists only there is copied.

What happened is kept in the spawner's state, which JupyterHub keeps in its database, until the next
stop: after a restart of the hub, too, and where the storage was away.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from docker import APIClient
from dockerspawner import DockerSpawner
from pydantic import ValidationError
from sqlalchemy.orm import object_session

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.hub import endings, inside, leaving, memory_peak, workarea
from quaderno.hub.agent_client import shared
from quaderno.hub.inside import ENGINE_ERRORS, InsideError, NoProgramError
from quaderno.hub.workarea import Look, Saved, Stop, Why

# Seconds: for somebody who looks at a page; for a stop, which must end; for what can wait.
LOOK = 15.0
SAVE = 120.0
SAVE_PATIENTLY = 1800.0
REFRESH = 4.0
_KEPT_FOR = 60.0  # seconds from copying to the stop that it was for
_STOPPED_IN = 600.0  # and to its end
_GRACE = 10.0  # seconds by which the program ends before it is given up


class UnsavedError(Exception):
    """Files could not be copied, and whoever asked for the stop would rather know; the text is a
    sentence for them."""


class GuardedSpawner(DockerSpawner):
    """A server whose files are looked after when it stops."""

    quaderno: Config

    # Of its own: a container that does not answer must not keep others from starting. It keeps a
    # few threads at most, whatever its person asks for.
    _looking = ThreadPoolExecutor(64, thread_name_prefix="workarea")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.last_stop: Stop | None = None
        self.answers = True  # until a start says otherwise: nothing was done in it yet
        self.why: Why = "administrator"
        self.ending = endings.GONE  # how it ended, where nobody stopped it
        self._memory_peak = 0  # bytes, at the last look at the running server
        self._starts = False
        self._cut_off = False  # the hub ended while it was starting
        self._kept_at: float | None = None
        self._look: asyncio.Task[Look] | None = None
        self._keeping = False

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        try:
            self.last_stop = (
                Stop.model_validate(state["last_stop"]) if "last_stop" in state else None
            )
        except ValidationError as error:  # another version wrote it
            self.log.warning("The last stop of %s is not known: %s", self._log_name, error)
        self._cut_off = bool(state.get("starts"))

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self.last_stop:
            state["last_stop"] = self.last_stop.model_dump()
        if self._starts:
            state["starts"] = True
        return state

    @contextmanager
    def _starting(self) -> Iterator[None]:
        """A hub that ends in between finds out at its next start."""
        self._starts, self._cut_off = True, False
        self._save_state()
        try:
            yield
        finally:
            self._starts = False

    def notice(self) -> dict[str, Any] | None:
        """What this server's person is told of the last stop."""
        return workarea.notice(self.last_stop)

    def dismiss(self) -> None:
        """They have read it."""
        if self.last_stop:
            self._record(self.last_stop.model_copy(update={"seen": True}))

    async def engine_client(self) -> APIClient:
        """`client`, which asks the engine for its version when it is made: not in our one thread.

        Raises one of ENGINE_ERRORS.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, lambda: self.client)

    def note_use(self, inspected: dict[str, Any]) -> None:
        """Of a running server, which may end before the next look."""
        self._memory_peak = memory_peak.peak(inspected)

    # --- asking the server

    async def look(self) -> Look:
        """Which files exist only in it; all who ask at a time get the same answer.

        Raises InsideError, DockerException.
        """
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._looked())
        return await asyncio.shield(self._look)

    async def _looked(self) -> Look:
        return workarea.parse_look(await self._ask("list", LOOK))

    async def _save(self, most: int | None, within: float) -> Saved:
        limit = [] if most is None else [f"--most={most}"]
        return workarea.parse_saved(await self._ask("save", within, *limit))

    async def _ask(self, verb: str, within: float, *more: str) -> bytes:
        await self._show_changes()
        command = [workarea.PROGRAM, verb, "--json", f"--within={within:g}", *more]
        client = await self.engine_client()
        return await asyncio.get_running_loop().run_in_executor(
            self._looking, inside.run, client, self.object_name, command, within + _GRACE
        )

    async def _show_changes(self) -> None:
        """What was deleted elsewhere is no copy, though rclone may still list it for minutes."""
        try:
            await shared(self.quaderno.agent_socket).refresh(self.user.name, REFRESH)
        except StorageError as error:
            self.log.info("Storage of %s is not refreshed: %s", self.user.name, error)

    # --- before it stops

    def leave(self, why: Why) -> None:
        """The person has said that nothing is to be copied."""
        self._done(Stop(at=workarea.now(), by=why))

    async def keep_all(self, why: Why) -> None:
        """Copy everything, or raise UnsavedError: nothing has stopped then."""
        with self._before_stop():
            try:
                saved = await self._save(None, SAVE_PATIENTLY)
            except (InsideError, *ENGINE_ERRORS) as error:
                raise UnsavedError("Your server does not answer, so nothing was copied.") from error
            if saved.left.count or not saved.saw_all:
                raise UnsavedError(workarea.unsaved(saved))
            self._stop_follows(Stop(at=workarea.now(), by=why, saved=saved))

    async def keep_for_later(self, why: Why) -> None:
        """Copy what fits, or raise UnsavedError when a later try may do better. A container that
        gives no answer will give none later, either."""
        with self._before_stop():
            stop = await self._stopped(why)
            if stop.saved and stop.saved.failed:
                raise UnsavedError(workarea.unsaved(stop.saved))
            self._stop_follows(stop)

    @contextmanager
    def _before_stop(self) -> Iterator[None]:
        """One at a time: what the second finds is the first's stop, and says nothing of files."""
        if self._keeping:
            raise UnsavedError("Its files are being copied already.")
        self._keeping = True
        try:
            yield
        finally:
            self._keeping = False

    def _stop_follows(self, stop: Stop) -> None:
        if not self.ready:  # somebody else has stopped it meanwhile
            raise UnsavedError("It is being stopped already.")
        self._done(stop)

    async def keep(self) -> None:
        """At every stop: copy what fits, unless that is done or declined. Raises nothing, and ends
        within `SAVE` seconds and a few: the stop goes on."""
        if self._kept_within(_KEPT_FOR) or not self.answers or not self.object_id:
            return
        self._done(await self._stopped(self.why))

    def note_end(self) -> None:
        """After every end: one that was no stop took what existed only there with it."""
        ended = self.ending
        if self._cut_off and not self.object_id:
            self._record(Stop(at=workarea.now(), by="restart"))
        elif self.object_id and self.answers and not self._kept_within(_STOPPED_IN):
            peak = self._memory_peak if ended.by == "memory" else 0
            stop = Stop(at=workarea.now(), by=ended.by, memory=ended.limit, peak=peak)
            self._record(leaving.noted(self.quaderno, self.object_id) or stop)
        self._cut_off, self.ending, self._memory_peak = False, endings.GONE, 0

    async def _stopped(self, why: Why) -> Stop:
        limit = self.quaderno.servers.saved_size
        try:
            saved = await self._save(limit, SAVE)
        except (InsideError, *ENGINE_ERRORS) as error:
            return Stop(at=workarea.now(), by=why, problem=self._problem(error))
        return Stop(at=workarea.now(), by=why, saved=saved, limit=limit)

    def _problem(self, error: Exception) -> str:
        """A sentence; none for an image that has no such program, which is no news."""
        if isinstance(error, NoProgramError):
            return ""
        self.log.warning("Files of %s are not known: %s", self._log_name, error)
        return workarea.UNKNOWN

    def _done(self, stop: Stop) -> None:
        self._kept_at = time.monotonic()
        self._record(stop)
        if saved := stop.saved:
            self.log.info(
                "%s of %s copied to %s, %s left",
                workarea.files(saved.copied),
                self._log_name,
                saved.directory,
                workarea.files(saved.left),
            )

    def _kept_within(self, seconds: float) -> bool:
        """Whether its files were looked after, for a stop that may have failed since."""
        return self._kept_at is not None and time.monotonic() - self._kept_at < seconds

    def _record(self, stop: Stop) -> None:
        """At once: the hub may end before the stop does."""
        self.last_stop = stop
        self._save_state()

    def _save_state(self) -> None:
        self.orm_spawner.state = self.get_state()
        if session := object_session(self.orm_spawner):
            session.commit()
