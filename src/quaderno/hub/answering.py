"""From a container's start to its server's first answer: whichever comes first of that, the
container's end, which the engine tells at once, and a server that does nothing any more."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httpx
from docker import APIClient

from quaderno.hub import endings, server_log, start_failures
from quaderno.hub.failures import Cause, StartFailure
from quaderno.hub.inside import ENGINE_ERRORS
from quaderno.hub.pulling import connection
from quaderno.quantities import say_amount

Docker = Callable[..., Awaitable[Any]]

# Seconds between two questions; a server answers within a second or two.
_ASK_EVERY = 0.015
_CONNECT_WITHIN = 1.0
# Seconds between two looks at what a server does; whether it does anything is a matter of CPU time,
# as a share of one CPU, and of what it prints.
_LOOK_EVERY = 2.0
_BUSY = 0.05
# A server that only uses CPUs and never answers is given up after so many times its patience.
_LONGEST = 10
# Seconds after which a start is slow enough to be told.
_SLOW = 20.0
_ASK_ENGINE_AGAIN_AFTER = 1.0
_LAST_LINES = 20

# For plain HTTP inside this machine; making a client reads all CA certificates.
_http = httpx.AsyncClient(timeout=5, verify=False, trust_env=False)  # noqa: S501


async def _listens(url: str) -> bool:
    """Costs next to nothing where nobody does, which is the answer most of the time."""
    where = httpx.URL(url)
    try:
        async with asyncio.timeout(_CONNECT_WITHIN):
            _, writer = await asyncio.open_connection(where.host, where.port or 80)
    except OSError:  # a TimeoutError, too
        return False
    writer.close()
    return True


async def _answers(url: str) -> bool:
    """Whatever it says."""
    try:
        await _http.get(url)
    except httpx.TransportError:
        return False
    return True


@dataclass(frozen=True)
class Activity:
    """What a container had done at a time: CPU time in nanoseconds, and its last line."""

    at: float
    cpu: int
    said: bytes

    def moved_since(self, last: "Activity") -> bool:
        """Whether it has done something worth waiting for."""
        return self.said != last.said or self.cpu - last.cpu > _BUSY * (self.at - last.at) * 1e9


class Beginning:
    """A container that was just started."""

    def __init__(
        self,
        client: Callable[[], Awaitable[APIClient]],
        docker: Docker,
        container: str,
        *,
        image: str,
        memory: int,
    ) -> None:
        """`docker` calls the engine in a thread, `client` gives what calls it elsewhere; `memory`
        is the container's limit, in bytes."""
        self._client = client
        self._docker = docker
        self._container = container
        self._about: dict[str, Any] = {"image": image, "limit": say_amount(memory)}
        self._interrupted = False

    async def answers(self, url: str, patience: float, slow: Callable[[], None]) -> None:
        """Wait until `url` answers; `slow` is called once when that takes long.

        Raises StartFailure when the container ends, does nothing for `patience` seconds, or works
        for ten times as long.
        """
        if await _answers(url):  # to a hub that was restarted, most do
            return
        tasks = [
            asyncio.create_task(watch)
            for watch in (self._asks(url), self._ends(), self._idles(patience, slow))
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _asks(self, url: str) -> None:
        while True:
            if await _listens(url) and await _answers(url):
                return
            await asyncio.sleep(_ASK_EVERY)

    async def _ends(self) -> None:
        """Raises StartFailure as soon as the container has ended."""
        while True:
            try:
                async with connection(await self._client()) as engine:
                    answer = await engine.post(f"/containers/{self._container}/wait")
            except (httpx.TransportError, *ENGINE_ERRORS):
                answer = None
            if answer is not None and answer.status_code == HTTPStatus.NOT_FOUND:
                details = f"the container {self._container} was removed"
                raise start_failures.ENGINE_FAILS.failure(details)
            if answer is not None and answer.is_success:
                await self._ended()
            self._interrupted = True
            await asyncio.sleep(_ASK_ENGINE_AGAIN_AFTER)

    async def _ended(self) -> None:
        """Raises StartFailure unless it runs after all."""
        state = (await endings.described(self._docker, self._container))["State"]
        if state["Running"]:
            return
        lines = await self._last_lines()
        code = state["ExitCode"]
        cause = start_failures.ended(
            code,
            out_of_memory=state["OOMKilled"],
            lines=lines,
            interrupted=self._interrupted,
        )
        details = f"{self._container[:12]} of {self._about['image']} ended with code {code}"
        raise cause.failure(details, lines=lines, code=code, **self._about)

    async def _idles(self, patience: float, slow: Callable[[], None]) -> None:
        """Raises StartFailure when that has gone on for too long."""
        began = moved = time.monotonic()
        last: Activity | None = None
        told = False
        while True:
            await asyncio.sleep(min(_LOOK_EVERY, patience / 4))
            now = time.monotonic()
            activity = await self._activity()
            # An engine that does not answer means unknown, which is no idleness.
            if activity is None or last is None or activity.moved_since(last):
                moved = now
            last = activity or last
            if not told and now - began > min(_SLOW, patience):
                told = True
                slow()
            if now - moved > patience:
                raise await self._too_slow(start_failures.SLOW, now - moved)
            if now - began > _LONGEST * patience:
                raise await self._too_slow(start_failures.NO_ANSWER, now - began)

    async def _activity(self) -> Activity | None:
        try:
            said = await self._docker("logs", self._container, tail=1, timestamps=True)
            stats = await self._docker("stats", self._container, stream=False, one_shot=True)
        except ENGINE_ERRORS:
            self._interrupted = True
            return None
        cpu = stats.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0)
        return Activity(time.monotonic(), cpu, said)

    async def _too_slow(self, cause: Cause, seconds: float) -> StartFailure:
        details = f"{self._container[:12]} of {self._about['image']} does not answer"
        lines = await self._last_lines()
        return cause.failure(details, lines=lines, seconds=round(seconds), **self._about)

    async def _last_lines(self) -> str:
        return await server_log.last_lines(self._docker, self._container, _LAST_LINES)
