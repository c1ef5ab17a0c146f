"""People who are not admitted any more, and have servers that run."""

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from quaderno.config.sections import Oidc
from quaderno.hub.admission import Admission


@dataclass
class Server:
    ready: bool = True


@dataclass
class Person:
    name: str
    spawners: dict[str, Server] = field(default_factory=lambda: {"": Server(), "gpu": Server()})

    @property
    def active(self) -> bool:
        return bool(self.spawners)


class Hub:
    """What the provider says of whom, and which servers were stopped."""

    def __init__(self, **oidc: int) -> None:
        self.ada, self.bob = Person("ada"), Person("bob", {})
        self.word: Any = True
        self.asked: list[str] = []
        self.stopped: list[str] = []
        self.fails_for = ""
        settings = Oidc(client_secret="x", **oidc)
        people = {1: self.ada, 2: self.bob}
        log = logging.getLogger("test")
        self.admission = Admission(settings, people, self.refresh, self.stop, log)

    async def refresh(self, person: Person) -> Any:
        self.asked.append(person.name)
        return self.word

    async def stop(self, person: Person, server: str) -> None:
        if person.name == self.fails_for:
            raise TimeoutError("the engine does not answer")
        self.stopped.append(server)
        del person.spawners[server]

    def look(self) -> None:
        asyncio.run(self.admission.once())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_whoever_has_a_server_is_asked_about_as_often_as_it_is_set(clock: list[float]) -> None:
    hub = Hub(recheck=300)
    for clock[0] in (1000.0, 1060.0, 1299.0, 1300.0):
        hub.look()
    assert hub.asked == ["ada", "ada"]
    assert hub.stopped == []


def test_who_is_removed_loses_all_servers_that_run_after_a_while(clock: list[float]) -> None:
    hub = Hub(recheck=300, removal_grace=120)
    hub.ada.spawners["starting"] = Server(ready=False)
    hub.word = False
    for clock[0], stopped in ((1000.0, []), (1119.0, []), (1120.0, ["", "gpu"])):
        hub.look()
        assert hub.stopped == stopped
    hub.ada.spawners["starting"].ready = True
    clock[0] = 1121.0
    hub.look()
    assert hub.stopped == ["", "gpu", "starting"]


def test_who_logs_in_again_in_time_keeps_them(clock: list[float]) -> None:
    hub = Hub(recheck=300, removal_grace=120)
    for clock[0], hub.word in ((1000.0, False), (1110.0, {"name": "ada"}), (1411.0, False)):
        hub.look()
    assert hub.stopped == []


def test_a_stop_that_fails_is_tried_again_and_keeps_nobody_else(
    clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    hub = Hub(removal_grace=0)
    hub.word, hub.fails_for = False, "ada"
    hub.bob.spawners["bobs"] = Server()
    hub.look()
    assert hub.stopped == ["bobs"]
    assert "ada could not be looked after" in caplog.text
    hub.fails_for = ""
    hub.look()
    assert hub.stopped == ["bobs", "", "gpu"]
