"""The hub's side of the node agent's API."""

import asyncio
import time
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from quaderno.errors import StorageError, StorageRefusedError

_PATIENCE = 10  # seconds for an agent that is being restarted
_TRY_AGAIN_AFTER = 0.2


@dataclass(frozen=True)
class MountState:
    """How a user's `cloud_storage` is on this node; `reason` is a sentence when it is not ready."""

    state: str
    reason: str

    @property
    def ready(self) -> bool:
        """Whether the bucket's files are there."""
        return self.state == "READY"


class AgentClient:
    """Asks the node agent for a user's mounts. Every method raises StorageError when the agent
    does not answer or refuses."""

    def __init__(self, socket: Path) -> None:
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket), retries=2),
            base_url="http://agent",
            timeout=httpx.Timeout(60, connect=3),
            # A kept connection that the agent closes meanwhile would fail the next request.
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    async def ensure(self, username: str, server: str) -> MountState:
        """Make the user's directories now and the mounts in the background, for `server`."""
        return _state(await self._request("PUT", _server_path(username, server)))

    async def wait(self, username: str, seconds: float) -> MountState:
        """The state once it is settled (ready or known to be unavailable), at most `seconds`
        later."""
        return _state(await self._request("GET", _user_path(username), params={"wait": seconds}))

    async def release(self, username: str, server: str) -> None:
        """`server` no longer uses the mounts; the agent drains and unmounts after the last."""
        await self._request("DELETE", _server_path(username, server))

    async def users(self, within: float) -> list[dict[str, Any]]:
        """Everybody whose storage is mounted, or ought to be, each as in `health`."""
        found: list[dict[str, Any]] = (await self._soon("GET", "/users", within))["users"]
        return found

    async def health(self, username: str, within: float) -> dict[str, Any]:
        """How a user's files are, as the agent describes it; `within` is in seconds."""
        return await self._soon("GET", _user_path(username), within)

    async def refresh(self, username: str, within: float) -> dict[str, Any]:
        """Have changes that were made elsewhere show in the mounts, then as `health`."""
        return await self._soon("POST", f"{_user_path(username)}/refresh", within)

    async def take_over(self, username: str, within: float) -> dict[str, Any]:
        """Have the mounts here although another node has not sent everything, then as `health`.

        Raises StorageRefusedError when no other node has them, or it is still heard of.
        """
        return await self._soon("POST", f"{_user_path(username)}/take-over", within)

    async def clean_up(self, username: str, within: float) -> dict[str, Any]:
        """Have a full bucket writable for a while, then as `health`."""
        return await self._soon("POST", f"{_user_path(username)}/clean-up", within)

    async def _soon(self, method: str, path: str, within: float) -> dict[str, Any]:
        """For somebody who looks at a page: no answer in time is one, too."""
        try:
            async with asyncio.timeout(within):
                return await self._request(method, path)
        except TimeoutError as error:
            raise StorageError(
                f"the storage agent does not answer within {within:g} s", "See: quaderno status"
            ) from error

    async def _request(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        """Every request is idempotent, so one that a restart cuts off is made again."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                response = await self._client.request(method, path, **kwargs)
                break
            except httpx.HTTPError as error:
                if isinstance(error, httpx.TimeoutException) or time.monotonic() > deadline:
                    raise StorageError(
                        f"the storage agent does not answer ({type(error).__name__})",
                        "See: quaderno status",
                    ) from error
                await asyncio.sleep(_TRY_AGAIN_AFTER)
        if response.status_code == HTTPStatus.CONFLICT:
            raise StorageRefusedError(response.json()["message"])
        if response.is_error:
            raise StorageError(
                f"the storage agent refused {method} {path}: {response.status_code}"
                f" {response.text[:200]}",
                "See the agent's log",
            )
        answer: dict[str, Any] = response.json()
        return answer


@cache
def shared(socket: Path) -> AgentClient:
    """The one client of this process, which has one event loop."""
    return AgentClient(socket)


def _user_path(username: str) -> str:
    return f"/users/{quote(username, safe='')}"


def _server_path(username: str, server: str) -> str:
    """The default server, whose name is empty, is written `-`."""
    return f"{_user_path(username)}/servers/{quote(server, safe='') or '-'}"


def _state(answer: dict[str, Any]) -> MountState:
    return MountState(answer.get("state", ""), answer.get("reason") or "")
