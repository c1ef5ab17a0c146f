"""Whether this site can start servers: what directors ask every few seconds, and other sites.

`/health` says yes or no and nothing more, for anybody may ask. Why not is for those who have the
sites' secret.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import docker
import httpx
from docker import APIClient
from docker.errors import DockerException
from docker.utils import kwargs_from_env
from tornado import web

from quaderno.config import Config
from quaderno.hub import pulling

DRAINING = "drained for maintenance"
_WITHIN = 1.5  # seconds for engine and store to answer: directors wait for five
# An engine that hangs keeps this thread and no others of the hub: it is asked for a minute.
_ENGINE_THREAD = ThreadPoolExecutor(1, "readiness")
_KEPT_FOR = 2.0  # seconds; however many ask, engine and store are not asked more often


class Readiness:
    """Asks engine and store, and keeps the answer for a moment."""

    def __init__(self, config: Config, client: APIClient | None = None) -> None:
        """`client` is the engine's; the one of the environment when it is None."""
        self._config = config
        self.client = client
        self._store = httpx.AsyncClient(
            timeout=_WITHIN,
            trust_env=config.store.endpoint is not None,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._asking = asyncio.Lock()
        self._asked = -_KEPT_FOR
        self._found: tuple[str, ...] = ()

    @property
    def draining(self) -> bool:
        """Whether an operator wants nobody to start here; kept over restarts of the hub."""
        return self._mark.exists()

    def drain(self, wanted: bool) -> None:
        """Have new visitors led elsewhere, or no more; people who work here go on. May raise
        OSError."""
        self._mark.touch() if wanted else self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self._config.dir / "hub" / "draining"

    async def problems(self) -> tuple[str, ...]:
        """Why no server can be started here, in words for an operator; empty when one can."""
        async with self._asking:
            if time.monotonic() - self._asked >= _KEPT_FOR:
                engine, store = await asyncio.gather(self._engine_answers(), self._store_answers())
                missing = {"the container engine": engine, "the object store": store}
                self._found = tuple(
                    f"{what} does not answer" for what, answers in missing.items() if not answers
                )
                self._asked = time.monotonic()
        return self.known

    @property
    def known(self) -> tuple[str, ...]:
        """The same, by the last answers."""
        return ((DRAINING,) if self.draining else ()) + self._found

    async def _engine_answers(self) -> bool:
        try:
            async with asyncio.timeout(_WITHIN):
                if self.client is None:
                    loop = asyncio.get_running_loop()
                    self.client = await loop.run_in_executor(_ENGINE_THREAD, _engine)
                async with pulling.connection(self.client) as engine:
                    return (await engine.get("/_ping")).is_success
        except (TimeoutError, httpx.HTTPError, DockerException):
            return False

    async def _store_answers(self) -> bool:
        """A refusal is an answer: nobody signs this request."""
        try:
            async with asyncio.timeout(_WITHIN):
                answer = await self._store.get(self._config.store_endpoint)
        except (TimeoutError, httpx.HTTPError):
            return False
        return not answer.is_server_error


def _engine() -> APIClient:
    """It asks the engine for its version, and waits for the answer."""
    return docker.APIClient(**kwargs_from_env())


class HealthHandler(web.RequestHandler):
    """`GET /health` of a site: 200 when it can start servers, else 503."""

    def initialize(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def get(self) -> None:
        ready = not await self._readiness.problems()
        self.set_status(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE)
        self.set_header("Cache-Control", "no-store")
        self.write({"ready": ready})

    def _log(self) -> None:
        """Asked every other second by each director: not for the log."""
