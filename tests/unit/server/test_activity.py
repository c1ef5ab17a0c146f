from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from quaderno_server.activity import note_busy_kernels


def server(*states: str) -> Any:
    """As much of Jupyter Server as is asked: kernels in these states."""
    kernels = [{"id": str(number), "execution_state": s} for number, s in enumerate(states)]
    return SimpleNamespace(
        kernel_manager=SimpleNamespace(list_kernels=lambda: kernels),
        web_app=SimpleNamespace(settings={"last_activity_times": {}}),
    )


def test_a_busy_kernel_is_activity_now() -> None:
    busy = server("idle", "busy")
    note_busy_kernels(busy)
    (noted,) = busy.web_app.settings["last_activity_times"].values()
    assert abs(datetime.now(timezone.utc) - noted) < timedelta(minutes=1)  # noqa: UP017


@pytest.mark.parametrize("states", [(), ("idle",), ("starting", "idle")])
def test_idle_kernels_are_none(states: tuple[str, ...]) -> None:
    idle = server(*states)
    note_busy_kernels(idle)
    assert idle.web_app.settings["last_activity_times"] == {}
