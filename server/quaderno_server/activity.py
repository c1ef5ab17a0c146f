"""A kernel that calculates in silence is at work: without this, its server would count as idle.

Jupyter Server knows of activity by messages, and a long calculation may send none for a day.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

LOOK_EVERY = 60_000  # milliseconds; the server tells the hub every five minutes
_NAME = "quaderno_busy_kernels"


def note_busy_kernels(server: Any) -> None:
    """Write down that now is a time of activity, if any kernel is busy."""
    kernels = server.kernel_manager.list_kernels()
    if any(kernel["execution_state"] == "busy" for kernel in kernels):
        # Where extensions of Jupyter Server report theirs.
        server.web_app.settings["last_activity_times"][_NAME] = datetime.now(timezone.utc)  # noqa: UP017


def watch_kernels(server: Any) -> None:
    """Do so every minute for as long as the server runs."""
    from tornado.ioloop import PeriodicCallback

    PeriodicCallback(lambda: note_busy_kernels(server), LOOK_EVERY).start()
