"""When the agent asks the hub for keys, and what it does when the hub does not answer."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from quaderno import config as configuration
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage.keys import HubKeys
from quaderno.storage.sts import Keys

CONFIG = configuration.generate(Path("/q"))


class FailingHub:
    """Answers with `life` seconds of keys, or `failure`."""

    def __init__(self, life: float) -> None:
        self.life, self.failure, self.requests = life, 0, 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        assert request.headers["Authorization"].startswith("token ")
        if self.failure:
            return httpx.Response(self.failure, json={"message": "log in again"})
        expiration = datetime.now(UTC) + timedelta(seconds=self.life)
        keys = Keys(f"key-{self.requests}", "secret", "token", expiration)
        return httpx.Response(200, json=keys.container_credentials())


def fetch(
    hub: FailingHub, times: int, fail_after: int | None = None, failure: int = 500
) -> list[str]:
    async def run() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(hub)) as client:
            keys, found = HubKeys(CONFIG, client), []
            for number in range(times):
                hub.failure = failure if number == fail_after else hub.failure
                found.append((await keys.get("alice")).access_key_id)
            return found

    return asyncio.run(run())


def test_fresh_keys_are_kept() -> None:
    assert fetch(FailingHub(3600), 3) == ["key-1"] * 3


def test_keys_that_an_sdk_would_find_too_old_are_renewed() -> None:
    assert fetch(FailingHub(299), 2) == ["key-1", "key-2"]


@pytest.mark.parametrize("failure", [500, 403])
def test_valid_keys_serve_while_the_hub_fails(failure: int) -> None:
    assert fetch(FailingHub(299), 3, fail_after=1, failure=failure) == ["key-1"] * 3


def test_expired_keys_are_never_served() -> None:
    with pytest.raises(StorageError):
        fetch(FailingHub(-1), 2, fail_after=1)


def test_a_refusal_says_why() -> None:
    with pytest.raises(StorageRefusedError, match="log in again"):
        fetch(FailingHub(3600), 1, fail_after=0, failure=403)


def test_one_request_for_many_askers() -> None:
    hub = FailingHub(3600)

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(hub)) as client:
            keys = HubKeys(CONFIG, client)
            await asyncio.gather(*(keys.get("alice") for _ in range(10)))

    asyncio.run(run())
    assert hub.requests == 1
