"""How often, and for how long, a server asks the hub for the health of storage and login."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from quaderno_server import watch
from quaderno_server.health import AWAY
from quaderno_server.watch import Watch
from tests.service.running import wait_for
from tests.unit.server.small_hub import PREFIX, TOKEN, SmallHub

STORAGE = {"state": "READY", "level": "ok", "message": "Everything is saved.", "refused": []}
PATIENCE = 60  # seconds


class Hub(SmallHub):
    """Its endpoints of storage and login; a test may change `answers`."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, tuple[int, Any]] = {
            "GET storage": (200, STORAGE),
            "GET access-token": (200, {"access_token": "secret", "expires_at": 1_900_000_000}),
            "POST storage/refresh": (200, {}),
            "POST storage/clean-up": (200, {}),
        }
        self.asked: Counter[str] = Counter()
        self.speaks = threading.Event()  # cleared: it does not answer
        self.speaks.set()

    def answer(self, method: str, path: str, authorization: str | None) -> tuple[int, bytes]:
        assert authorization == f"token {TOKEN}"
        question = f"{method} {path.removeprefix(PREFIX)}"
        self.asked[question] += 1
        self.speaks.wait(30)
        status, answer = self.answers[question]
        return status, json.dumps(answer).encode()


class Log:
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, message: str, *arguments: Any) -> None:
        self.lines.append(message % arguments)

    info = warning


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    with hub.serving():
        yield hub
        hub.speaks.set()


@pytest.fixture
def log() -> Log:
    return Log()


def test_it_tells_what_the_hub_says_and_keeps_the_token(hub: Hub, log: Log) -> None:
    told = asyncio.run(Watch(hub.environment, log, PATIENCE).health())
    assert (told["level"], told["label"], told["storage"]) == ("ok", "Saved", STORAGE)
    assert told["login"]["expires_at"] == 1_900_000_000
    assert "secret" not in json.dumps(told)
    assert log.lines == []


def test_no_token_is_asked_for_again_within_minutes(
    hub: Hub, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)

    async def look(times: int) -> None:
        for _ in range(times):
            await watching.health()

    watching = Watch(hub.environment, log, PATIENCE)
    asyncio.run(look(3))
    assert hub.asked == {"GET storage": 3, "GET access-token": 1}
    now += watch.LOGIN_SERVES
    hub.answers["GET access-token"] = (403, {"message": "The login of anna has ended."})
    asyncio.run(look(2))
    assert hub.asked["GET access-token"] == 2
    now += watch.REFUSAL_SERVES
    asyncio.run(look(2))
    assert hub.asked["GET access-token"] == 3


def test_the_end_of_a_login_shows_soon_where_storage_is_refused(
    hub: Hub, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    watching = Watch(hub.environment, log, PATIENCE)
    assert asyncio.run(watching.health())["login"]["ok"]
    ended = {"message": "The login of anna has ended: log in again."}
    hub.answers.update({"GET storage": (403, ended), "GET access-token": (403, ended)})
    now += watch.REFUSAL_SERVES
    told = asyncio.run(watching.health())
    assert (told["label"], told["login"]["ok"]) == ("Log in again", False)
    asyncio.run(watching.health())
    assert hub.asked["GET access-token"] == 2


def test_who_asks_at_the_same_time_shares_the_answer(hub: Hub, log: Log) -> None:
    async def several_tabs() -> list[Any]:
        watching = Watch(hub.environment, log, PATIENCE)
        hub.speaks.clear()
        asking = [asyncio.ensure_future(watching.health()) for _ in range(5)]
        await asyncio.to_thread(wait_for, lambda: hub.asked.total() == 2, 30, "two questions")
        asking.pop().cancel()  # a tab that was closed
        hub.speaks.set()
        return await asyncio.gather(*asking)

    assert [told["label"] for told in asyncio.run(several_tabs())] == ["Saved"] * 4
    assert hub.asked == {"GET storage": 1, "GET access-token": 1}


def test_a_hub_that_is_away_is_one_line_in_the_log(hub: Hub, log: Log) -> None:
    environment = {**hub.environment}

    async def meanwhile() -> None:
        watching = Watch(environment, log, PATIENCE)
        environment["JUPYTERHUB_API_URL"] = "http://127.0.0.1:9/hub/api"
        for _ in range(3):
            told = await watching.health()
            assert (told["level"], told["message"]) == ("warning", AWAY)
        environment.update(hub.environment)
        assert (await watching.health())["level"] == "ok"

    asyncio.run(meanwhile())
    went, back = log.lines
    assert went.startswith("The state of storage is not known: the hub cannot be reached")
    assert back == "The state of storage is known again"


def test_a_silent_hub_is_waited_for_so_long_and_no_longer(hub: Hub, log: Log) -> None:
    hub.speaks.clear()
    told = asyncio.run(Watch(hub.environment, log, timeout=0.05).health())
    assert (told["level"], told["message"]) == ("warning", AWAY)


@pytest.mark.parametrize("answer", [[], None, "READY", {}])
def test_nonsense_from_the_hub_is_something_to_look_at(hub: Hub, log: Log, answer: Any) -> None:
    hub.answers["GET storage"] = (200, answer)
    assert asyncio.run(Watch(hub.environment, log, PATIENCE).health())["level"] == "warning"


def test_refresh(hub: Hub, log: Log) -> None:
    told = asyncio.run(Watch(hub.environment, log, PATIENCE).refresh())
    assert told == {"refreshed": True, "message": ""}
    assert hub.asked == {"POST storage/refresh": 1}


def test_a_refresh_that_cannot_be_says_why(hub: Hub, log: Log) -> None:
    hub.answers["POST storage/refresh"] = (503, {"message": "The node agent does not answer."})
    told = asyncio.run(Watch(hub.environment, log, PATIENCE).refresh())
    assert told == {"refreshed": False, "message": "The node agent does not answer."}


def test_a_refresh_without_a_body_in_the_answer(hub: Hub, log: Log) -> None:
    hub.answers["POST storage/refresh"] = (204, None)
    assert asyncio.run(Watch(hub.environment, log, PATIENCE).refresh())["refreshed"] is True


def test_cleaning_up(hub: Hub, log: Log) -> None:
    told = asyncio.run(Watch(hub.environment, log, PATIENCE).clean_up())
    assert told == {"allowed": True, "message": ""}
    hub.answers["POST storage/clean-up"] = (503, {"message": "The node agent does not answer."})
    told = asyncio.run(Watch(hub.environment, log, PATIENCE).clean_up())
    assert told == {"allowed": False, "message": "The node agent does not answer."}
