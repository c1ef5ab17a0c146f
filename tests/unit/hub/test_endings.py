import asyncio
from typing import Any

import pytest

from quaderno.hub import endings
from quaderno.hub.endings import ending

STARTED, FINISHED = "2026-11-24T08:00:00.123456789Z", "2026-11-24T09:00:00.987654321Z"


def inspected(**state: Any) -> dict[str, Any]:
    """What the engine says of a container with 2 GiB that ended."""
    ended = {"ExitCode": 1, "OOMKilled": False, "StartedAt": STARTED, "FinishedAt": FINISHED}
    ended["Running"] = False
    return {"State": ended | state, "HostConfig": {"Memory": 2**31}}


def test_the_memory_limit() -> None:
    found = ending(inspected(ExitCode=137, OOMKilled=True), None)
    assert (found.by, found.limit) == ("memory", 2**31)
    assert found.words == "exit code 137, out of memory"


@pytest.mark.parametrize("late", [True, False])
def test_the_engine_may_hear_of_the_memory_after_the_end(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "_HEARD", 0)
    told = [inspected(ExitCode=137, OOMKilled=oom) for oom in (False, late)]

    async def docker(*_: object) -> dict[str, Any]:
        return told.pop(0)

    found = asyncio.run(endings.described(docker, "c"))
    assert ending(found, None).by == ("memory" if late else "ended")
    assert told == []


@pytest.mark.parametrize(
    "since",
    [
        "2026-11-24T09:00:30Z",  # it was stopped before the engine was
        "2026-11-24T08:59:59.5Z",  # it was found ended by the next engine
        "2026-11-24T10:59:30+02:00",
    ],
)
def test_a_restart_of_engine_or_machine(since: str) -> None:
    assert ending(inspected(ExitCode=255), since).by == "node"


@pytest.mark.parametrize(
    "since",
    [
        None,
        "2026-11-24T07:00:00Z",  # the engine is older than the container
        "2026-11-24T08:30:00Z",  # the container outlived the engine's restart, by live-restore
    ],
)
def test_by_itself(since: str | None) -> None:
    found = ending(inspected(), since)
    assert (found.by, found.words) == ("ended", "exit code 1")
