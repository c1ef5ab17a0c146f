"""S3 keys for rclone: fetched from the hub, kept in memory, served on loopback. With them comes
the person's quota.

rclone asks as AWS SDKs ask a container credential provider, with a token of that one person, and
never sees an identity token. An outage of the hub is not noticed as long as the keys live.
"""

import asyncio
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from quaderno import names
from quaderno.config import Config
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import directories, mounts
from quaderno.storage.sts import Keys

LOG = logging.getLogger("quaderno.agent")
# SDKs ask again 5 minutes before the end, and must then get keys that live longer. Keys that do not
# live long, because an identity token does not, are asked for with each request to the store: they
# are renewed in the middle of their life.
RENEW_AHEAD = timedelta(minutes=15)
TRY_AGAIN = timedelta(seconds=10)  # after a renewal that failed
PATIENCE = 1.0  # seconds that a renewal may take while the last keys are still valid


@dataclass(frozen=True)
class Kept:
    """Keys, and when to ask for others."""

    keys: Keys
    renew_at: datetime


class HubKeys:
    """Each person's keys; one request at a time for each person."""

    def __init__(
        self,
        config: Config,
        client: httpx.AsyncClient,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._config, self._client, self._now = config, client, now
        self._kept: dict[str, Kept] = {}
        self._renewals: dict[str, asyncio.Task[Keys]] = {}
        self._quotas: dict[str, int] = {}

    async def get(self, username: str) -> Keys:
        """Valid keys of `username`.

        Raises StorageRefusedError when the hub has no session of theirs that can get keys,
        StorageError when hub or store do not answer and the last keys have expired. As long as
        they are valid, nobody waits for a hub that is silent.
        """
        kept = self._kept.get(username)
        if kept is None or kept.keys.expiration <= self._now():
            return await asyncio.shield(self._renewal(username))
        if self._now() >= kept.renew_at and username not in self._renewals:
            await asyncio.wait({self._renewal(username)}, timeout=PATIENCE)
        return self._kept.get(username, kept).keys

    def forget(self, username: str) -> None:
        """Drop the keys of `username`."""
        self._kept.pop(username, None)

    def _renewal(self, username: str) -> asyncio.Task[Keys]:
        """The one that is under way, or a new one."""
        if username not in self._renewals:
            task = asyncio.create_task(self._renew(username))
            self._renewals[username] = task
            task.add_done_callback(lambda _: self._renewals.pop(username))
        return self._renewals[username]

    def quota(self, username: str) -> int:
        """Bytes that their bucket may hold, as the hub said last; 0: no limit, or not known."""
        return self._quotas.get(username, 0)

    async def _renew(self, username: str) -> Keys:
        try:
            answer = await self._ask(username)
            keys = Keys.from_container_credentials(answer)
        except StorageError as error:
            kept = self._kept.get(username)
            if kept is None or kept.keys.expiration <= self._now():
                raise
            LOG.warning("%s keeps keys until %s: %s", username, kept.keys.expiration, error)
            self._kept[username] = Kept(kept.keys, self._now() + TRY_AGAIN)
            return kept.keys
        if isinstance(quota := answer.get("Quota"), int):
            self._quotas[username] = quota
        ahead = min(RENEW_AHEAD, (keys.expiration - self._now()) / 2)
        self._kept[username] = Kept(keys, keys.expiration - ahead)
        return keys

    async def _ask(self, username: str) -> dict[str, Any]:
        port = self._config.ports.hub
        url = f"http://127.0.0.1:{port}/hub/api/quaderno/users/{username}/s3-keys"
        token = self._config.agent.hub_token.get_secret_value()
        try:
            answer = await self._client.get(url, headers={"Authorization": f"token {token}"})
            body = answer.json() if answer.status_code < 500 else {}
        except (httpx.HTTPError, ValueError) as error:
            raise StorageError(
                f"The hub does not give out keys ({type(error).__name__})", "It is tried again"
            ) from error
        if 400 <= answer.status_code < 500 and answer.status_code != 429:
            reason = body.get("message") or f"HTTP {answer.status_code}"
            raise StorageRefusedError(
                f"The hub has no keys for {username}: {reason}", "Log in again"
            )
        if answer.status_code != 200:
            raise StorageError(f"The hub answered HTTP {answer.status_code}", "It is tried again")
        return dict(body)


def endpoint(config: Config, keys: HubKeys) -> Starlette:
    """The loopback application that `mounts.keys_url` names."""

    async def serve(request: Request) -> Response:
        username = request.path_params["username"]
        if not _is_authorised(config, username, request.headers.get("Authorization", "")):
            return JSONResponse({"message": "not authorised"}, status_code=403)
        try:
            found = await keys.get(username)
        except StorageError as error:
            return JSONResponse({"message": error.message}, status_code=503)
        return JSONResponse(found.container_credentials(), headers={"Cache-Control": "no-store"})

    return Starlette(routes=[Route("/users/{username}/keys", serve)])


def _is_authorised(config: Config, username: str, presented: str) -> bool:
    if names.storage_problem(username):
        return False
    token = directories.load_token(mounts.plan(config, username))
    return bool(token) and hmac.compare_digest(token.encode(), presented.encode())
