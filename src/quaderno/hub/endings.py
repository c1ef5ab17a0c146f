"""Why a server ended that nobody stopped: what the engine says of its container; all but the asking
is pure."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

# Seconds from an engine's start until it has written down which containers ended without it.
_WRITTEN_DOWN = 60
# The exit status of what was killed by SIGKILL, as by the kernel for its memory, and the seconds in
# which an engine hears of the memory, too: containerd may tell it of the end before, or not at all
# (github.com/containerd/containerd/pull/12714).
_KILLED, _HEARD = 137, 1.0


@dataclass(frozen=True)
class Ending:
    """`memory`: the kernel ended it at its limit of `limit` bytes; `node`: engine or machine were
    restarted; `ended`: by itself, or by somebody at the engine. `words` are for the hub's log."""

    by: Literal["memory", "node", "ended"]
    words: str
    limit: int = 0


GONE = Ending("ended", "its container is gone")


async def described(docker: Callable[..., Awaitable[Any]], container: str) -> dict[str, Any]:
    """The Docker Engine API's description of a container; of one that was killed, once the engine
    knows whether that was for its memory.

    `docker` calls the engine in a thread; raises what it raises.
    """
    inspected: dict[str, Any] = await docker("inspect_container", container)
    state = inspected["State"]
    if not state["Running"] and state["ExitCode"] == _KILLED and not state["OOMKilled"]:
        await asyncio.sleep(_HEARD)
        inspected = await docker("inspect_container", container)
    return inspected


def ending(inspected: dict[str, Any], engine_since: str | None) -> Ending:
    """Why a container ended.

    `inspected` is the Docker Engine API's description of it; `engine_since` is when the engine was
    started (RFC 3339), None if that is not known.
    """
    state = inspected["State"]
    words = f"exit code {state['ExitCode']}"
    if state["OOMKilled"]:
        limit = inspected["HostConfig"]["Memory"]
        return Ending("memory", f"{words}, out of memory", limit)
    if engine_since and _with_the_engine(state, _time(engine_since)):
        return Ending("node", f"{words}, the engine was restarted")
    return Ending("ended", words)


def _with_the_engine(state: dict[str, Any], since: datetime) -> bool:
    started, finished = _time(state["StartedAt"]), _time(state["FinishedAt"])
    return started < since and (finished - since).total_seconds() < _WRITTEN_DOWN


def _time(text: str) -> datetime:
    """Go's times may have more digits than Python keeps."""
    return datetime.fromisoformat(text).astimezone(UTC)
