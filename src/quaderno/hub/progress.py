"""What a starting server is doing, for the pages that watch it.

Each step is announced when it begins and again, with its duration, when it ends; in between its
text may change. Any number of pages may watch; one that comes late gets the whole story, without
the texts that have been replaced.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

# step -> (per cent when it begins, what people read)
STEPS: dict[str, tuple[int, str]] = {
    "options": (5, "Checking your choices"),
    "room": (10, "Waiting for room"),
    "image": (15, "Getting the image"),
    "turn": (35, "Waiting for others who start right now"),
    "storage": (36, "Connecting your storage"),
    "container": (50, "Creating the container"),
    "server": (70, "Starting JupyterLab"),
}
_BEGINNINGS = sorted(percent for percent, _ in STEPS.values())

Event = dict[str, Any]


class Progress:
    """The events of one start, in JupyterHub's progress format with `step`, `state` and, on a
    finished step, `seconds`; on an update, `percent` of the step.

    `fetched`: the image was not here.
    """

    fetched = False

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._update: Event | None = None
        self._notes = 0
        self._began: dict[str, float] = {}
        self._news = asyncio.Event()

    def begin(self, step: str, detail: str = "") -> None:
        """Announce `step`; called again while it runs it updates the detail."""
        self._began.setdefault(step, time.monotonic())
        self.current = step
        self._add(
            {
                "progress": STEPS[step][0],
                "message": _message(step, detail),
                "step": step,
                "state": "running",
            }
        )

    def update(self, step: str, text: str, *, percent: int, share: float) -> None:
        """Change what the line of the running `step` says.

        `percent` is for the step's own bar; `share`, from 0 to 1, is how much of the step is done.
        Only the newest update is kept: a page that is slow, or comes late, misses the others.
        """
        begins = STEPS[step][0]
        ends = next((other for other in _BEGINNINGS if other > begins), 100)
        self._update = {
            "progress": begins + int((ends - begins) * share),
            "message": text,
            "step": step,
            "state": "running",
            "percent": percent,
        }
        self._tell()

    def note(self, step: str, message: str) -> None:
        """A line of its own about `step`, which goes on: something went wrong, but not for good."""
        self._notes += 1
        name = f"{step}-note-{self._notes}"
        self._add({"message": message, "step": name, "state": "late"})

    def done(self, step: str, detail: str = "", *, state: str = "done") -> None:
        """Announce that `step` has ended."""
        seconds = round(time.monotonic() - self._began.get(step, time.monotonic()), 2)
        message = _message(step, detail)
        self._add({"message": message, "step": step, "state": state, "seconds": seconds})

    def _add(self, event: Event) -> None:
        self._update = None
        self._events.append(event)
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def newest(self) -> list[Event]:
        """What there is to say of each step now, in their order; for a page without scripts."""
        said = {event["step"]: event for event in self._events}
        if self._update is not None:
            said[self._update["step"]] = self._update
        return list(said.values())

    async def events(self) -> AsyncGenerator[Event, None]:
        """All events from the first on; never ends by itself (the hub stops listening)."""
        seen = 0
        shown: Event | None = None
        while True:
            news = self._news
            while seen < len(self._events):
                yield self._events[seen]
                seen += 1
            if self._update is not None and self._update is not shown:
                shown = self._update
                yield shown
            await news.wait()


def _message(step: str, detail: str) -> str:
    text = STEPS[step][1]
    return f"{text}: {detail}" if detail else text
