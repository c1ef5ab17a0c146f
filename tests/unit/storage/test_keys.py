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


NOW = datetime(2026, 3, 1, tzinfo=UTC)


class FailingHub:
    """Answers with `life` seconds of keys, or `failure`, or not until `silence` ends; time is what
    it says."""

    def __init__(self, life: float) -> None:
        self.life, self.failure, self.requests = life, 0, 0
        self.passed = 0.0  # seconds
        self.silence: asyncio.Event | None = None

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        assert request.headers["Authorization"].startswith("token ")
        if self.silence:
            await self.silence.wait()
        if self.failure:
            return httpx.Response(self.failure, json={"message": "log in again"})
        expiration = self.now() + timedelta(seconds=self.life)
        keys = Keys(f"key-{self.requests}", "secret", "token", expiration)
        return httpx.Response(200, json=keys.container_credentials())


def fetch(hub: FailingHub, *at: float, fail_after: float = 1e9, failure: int = 500) -> list[str]:
    """The keys that are there at these seconds, of a hub that fails from one of them on."""

    async def run() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(hub)) as client:
            keys, found = HubKeys(CONFIG, client, hub.now), []
            for hub.passed in at:
                hub.failure = failure if hub.passed >= fail_after else 0
                found.append((await keys.get("alice")).access_key_id)
            return found

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("life", "last_kept"),
    [
        (3600, 2699),  # an SDK asks for others at 3300
        (900, 449),  # at 600
        (300, 149),  # always: it must not become a request to the hub each time
        (60, 29),
    ],
)
def test_keys_are_kept_until_an_sdk_would_find_them_too_old(life: int, last_kept: int) -> None:
    found = fetch(FailingHub(life), 0, 1, last_kept, last_kept + 1, last_kept + 2)
    assert found == ["key-1"] * 3 + ["key-2"] * 2


@pytest.mark.parametrize("failure", [500, 403])
def test_valid_keys_serve_while_the_hub_fails(failure: int) -> None:
    hub = FailingHub(300)
    assert fetch(hub, 0, 200, 205, 211, 299, fail_after=1, failure=failure) == ["key-1"] * 5
    assert hub.requests == 4, "it is not asked again with every request to the store"


def test_expired_keys_are_never_served() -> None:
    with pytest.raises(StorageError):
        fetch(FailingHub(300), 0, 300, fail_after=1)


def test_nobody_waits_for_a_silent_hub_while_keys_are_valid() -> None:
    hub = FailingHub(300)

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(hub)) as client:
            keys = HubKeys(CONFIG, client, hub.now)
            await keys.get("alice")
            hub.passed, hub.silence = 200, asyncio.Event()
            for _ in range(20):
                assert (await keys.get("alice")).access_key_id == "key-1"
            hub.silence.set()
            hub.passed = 300
            assert (await keys.get("alice")).access_key_id == "key-2"

    asyncio.run(asyncio.wait_for(run(), 30))
    assert hub.requests == 2


def test_a_refusal_says_why() -> None:
    with pytest.raises(StorageRefusedError, match="log in again"):
        fetch(FailingHub(3600), 0, fail_after=0, failure=403)


def test_one_request_for_many_askers() -> None:
    hub = FailingHub(3600)

    async def run() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(hub)) as client:
            keys = HubKeys(CONFIG, client, hub.now)
            await asyncio.gather(*(keys.get("alice") for _ in range(10)))

    asyncio.run(run())
    assert hub.requests == 1
