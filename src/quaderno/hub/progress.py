"""What a starting server is doing, for the pages that watch it.

Each step is announced when it begins and again, with its duration, when it ends. Any number of
pages may watch; one that comes late gets the whole story.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

# step -> (per cent when it begins, what people read)
STEPS: dict[str, tuple[int, str]] = {
    "options": (5, "Checking your choices"),
    "image": (15, "Getting the image"),
    "storage": (35, "Connecting your storage"),
    "container": (50, "Creating the container"),
    "server": (70, "Starting JupyterLab"),
}

Event = dict[str, Any]


class Progress:
    """The events of one start, in JupyterHub's progress format with `step`, `state` and, on a
    finished step, `seconds`."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._began: dict[str, float] = {}
        self._news = asyncio.Event()

    def begin(self, step: str, detail: str = "") -> None:
        """Announce `step`; called again while it runs it updates the detail."""
        percent, text = STEPS[step]
        self._began.setdefault(step, time.monotonic())
        message = f"{text}: {detail}" if detail else text
        self._add({"progress": percent, "message": message, "step": step, "state": "running"})

    def done(self, step: str, detail: str = "", *, state: str = "done") -> None:
        """Announce that `step` has ended."""
        seconds = round(time.monotonic() - self._began.get(step, time.monotonic()), 2)
        text = STEPS[step][1]
        message = f"{text}: {detail}" if detail else text
        self._add({"message": message, "step": step, "state": state, "seconds": seconds})

    def _add(self, event: Event) -> None:
        self._events.append(event)
        self._news.set()
        self._news = asyncio.Event()

    async def events(self) -> AsyncGenerator[Event, None]:
        """All events from the first on; never ends by itself (the hub stops listening)."""
        seen = 0
        while True:
            news = self._news
            while seen < len(self._events):
                yield self._events[seen]
                seen += 1
            await news.wait()
