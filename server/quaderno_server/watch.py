"""Asks the hub how storage and login are, seldom and never for long.

Several tabs of a person ask at once and often. They share one question on storage at a time. The
login is tried by asking for an access token, which the hub writes down as handed out: the answer
serves for five minutes, and for half a minute when anything is refused, so that the end of a login
shows soon, and a new one.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from quaderno_server import credentials
from quaderno_server.credentials import CredentialsError, HubUnavailableError
from quaderno_server.health import AWAY, Answer, Json, health

HUB_TIMEOUT = 5.0  # seconds
LOGIN_SERVES = 300.0  # seconds
REFUSAL_SERVES = 30.0  # seconds
MAX_QUESTIONS = 4  # at a time: storage, login, refresh, cleaning up


class Log(Protocol):
    """What a silent hub is told to, in one line."""

    def warning(self, message: str, *arguments: Any) -> None: ...
    def info(self, message: str, *arguments: Any) -> None: ...


class Watch:
    """`environment` is that of the server."""

    def __init__(
        self, environment: Mapping[str, str], log: Log, timeout: float = HUB_TIMEOUT
    ) -> None:
        self._environment, self._log, self._timeout = environment, log, timeout
        self._questions = ThreadPoolExecutor(MAX_QUESTIONS, "quaderno-health")
        self._running: dict[str, asyncio.Future[Answer]] = {}
        self._login: Answer = HubUnavailableError("nobody has asked yet")
        self._login_asked_at = float("-inf")  # on the monotonic clock
        self._away = False

    async def health(self) -> Json:
        """The JSON of `quaderno/health`; raises nothing that the hub could cause."""
        storage, token = await asyncio.gather(self._shared("storage"), self._token(LOGIN_SERVES))
        if isinstance(storage, CredentialsError) and storage.status in (401, 403):
            token = await self._token(REFUSAL_SERVES)
        self._tell(storage)
        return health(storage, token)

    async def refresh(self) -> Json:
        """Have the mounts look at what was changed elsewhere; says whether they did."""
        answer = await self._shared("storage/refresh", "POST")
        if isinstance(answer, CredentialsError):
            return {"refreshed": False, "message": answer.words or AWAY}
        return {"refreshed": True, "message": ""}

    async def clean_up(self) -> Json:
        """Have a full bucket writable for a while, to delete files; says whether it is."""
        answer = await self._shared("storage/clean-up", "POST")
        if isinstance(answer, CredentialsError):
            return {"allowed": False, "message": answer.words or AWAY}
        return {"allowed": True, "message": ""}

    async def _token(self, serves: float) -> Answer:
        """The answer for an access token, of the last `serves` seconds if it was yes."""
        serves = serves if isinstance(self._login, dict) else REFUSAL_SERVES
        if time.monotonic() - self._login_asked_at >= serves:
            self._login = await self._shared("access-token")
            if isinstance(self._login, dict):
                # Nothing here needs the token itself.
                self._login = {"expires_at": self._login.get("expires_at")}
            self._login_asked_at = time.monotonic()
        return self._login

    def _shared(self, path: str, method: str = "GET") -> asyncio.Future[Answer]:
        """One question at a time for each path; whoever asks meanwhile gets the same answer.

        A browser that goes away while it waits must not take the answer from the others.
        """
        if path not in self._running:
            task = asyncio.ensure_future(self._asked(path, method))
            self._running[path] = task
            task.add_done_callback(lambda _: self._running.pop(path))
        return asyncio.shield(self._running[path])

    async def _asked(self, path: str, method: str) -> Answer:
        what = path.replace("/", " ").replace("-", " ")
        ask = functools.partial(
            credentials.ask, self._environment, path, what, self._timeout, method
        )
        question = asyncio.get_running_loop().run_in_executor(self._questions, ask)
        try:
            answer = await asyncio.wait_for(question, self._timeout)
        except asyncio.TimeoutError:  # noqa: UP041 - not OSError's before Python 3.11
            return HubUnavailableError("the hub does not answer in time")
        except CredentialsError as error:
            return error
        return answer if isinstance(answer, dict) else {}

    def _tell(self, storage: Answer) -> None:
        """One line when the hub goes, and one when it is back."""
        away = isinstance(storage, CredentialsError)
        if away and not self._away:
            self._log.warning("The state of storage is not known: %s", storage)
        elif self._away and not away:
            self._log.info("The state of storage is known again")
        self._away = away
