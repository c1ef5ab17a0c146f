"""Tries a start again, within the same start, when what went wrong may pass by itself; and has a
name for whatever else goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from jupyterhub.spawner import SpawnException

from quaderno.hub import start_failures
from quaderno.hub.failures import StartFailure
from quaderno.hub.progress import Progress

T = TypeVar("T")
# Seconds before the second try, the third and the fourth.
BACK_OFF = (2, 6, 18)


async def attempts(
    once: Callable[[], Awaitable[T]],
    clear: Callable[[], Awaitable[None]],
    steps: Progress,
    log: Any,
) -> T:
    """What the first of a few `once` returns that does not fail.

    Before another, `clear` removes what the last has left. Raises the StartFailure that no further
    try can help, or the last one; and at once whatever else `once` or `clear` raise.
    """
    for tried, pause in enumerate((*BACK_OFF, None), start=1):
        try:
            return await once()
        except StartFailure as failure:
            if not failure.may_pass:
                raise
            if pause is None:
                raise failure.after(tried) from failure
            log.warning("Start, try %d: %s", tried, failure)
            turn = f"{tried + 1} of {len(BACK_OFF) + 1}"
            steps.note(steps.current, f"{failure.said}; trying again in {pause} s ({turn})")
        await asyncio.sleep(pause)
        await clear()
    raise AssertionError("the last try returns or raises")


@contextmanager
def named(log: Any, server: str) -> Iterator[None]:
    """What no one has expected becomes a StartFailure, too; its reference is in the log, with where
    in the code it happened."""
    try:
        yield
    except SpawnException:
        raise
    except Exception as error:
        failure = start_failures.UNKNOWN.failure(f"{type(error).__name__}: {error}")
        log.exception("Unforeseen in the start of %s: %s", server, failure)
        raise failure from error
