"""Why a server ended that nobody stopped: what the engine says of its container; pure."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

# Seconds from an engine's start until it has written down which containers ended without it.
_WRITTEN_DOWN = 60


@dataclass(frozen=True)
class Ending:
    """`memory`: the kernel ended it at its limit of `limit` bytes; `node`: engine or machine were
    restarted; `ended`: by itself, or by somebody at the engine. `words` are for the hub's log."""

    by: Literal["memory", "node", "ended"]
    words: str
    limit: int = 0


GONE = Ending("ended", "its container is gone")


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
