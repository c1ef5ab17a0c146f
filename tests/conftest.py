"""What contract and service tests share: a container engine that runs, pictures of pages."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from quaderno import host
from tests.service.running import wait_for

STARTED = Path("/run/quaderno-tests.engine")  # the pid of an engine that tests have started
USERS = Path("/run/quaderno-tests.users")  # each process that uses an engine has it locked
RUNNING = Path("/run/docker.pid")
SCREENSHOTS = Path(__file__).parents[1] / "docs" / "images"
PATIENCE = 60_000  # milliseconds


def pytest_configure() -> None:
    """On a machine that does much else, pages show what is expected of them later than in the
    five seconds that Playwright waits, and an example of Hypothesis may take its 200 ms."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    too_slow = HealthCheck.too_slow
    settings.register_profile(
        "busy", settings.default, deadline=None, suppress_health_check=[too_slow]
    )
    settings.load_profile("busy")


@pytest.fixture(scope="session")
def container_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The engine of this machine. Where none runs, one is started, and stopped by the last of the
    test processes that use it."""
    with USERS.open("w") as users:
        with _starting():
            fcntl.flock(users, fcntl.LOCK_SH)
            if not host.engine_answers():
                log = tmp_path_factory.mktemp("engine") / "dockerd.log"
                host.ensure_engine(log, lambda _: None)
                STARTED.write_text(RUNNING.read_text())
        yield
        with _starting(), suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _stop_engine()


@contextmanager
def _starting() -> Iterator[None]:
    """One process at a time starts or stops an engine."""
    with STARTED.open("a") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def _stop_engine() -> None:
    """End the engine if it is one that a test process has started."""
    if not (RUNNING.exists() and STARTED.read_text() == RUNNING.read_text()):
        return
    pid = int(RUNNING.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 60, "the end of dockerd")
    STARTED.write_text("")


@pytest.fixture
def screenshot() -> Callable[..., None]:
    """Save a picture of a page for the documentation, at desktop and at phone width.

    Only where QUADERNO_SCREENSHOTS says so, lest each test run change the documentation; the
    pages are driven the same way in any case.
    """
    from playwright.sync_api import Page

    def take(page: Page, name: str, phone: bool = True) -> None:
        widths = {"": (1280, 800)} | ({"-phone": (390, 844)} if phone else {})
        for suffix, (width, height) in widths.items():
            page.set_viewport_size({"width": width, "height": height})
            picture = page.screenshot()
            if os.environ.get("QUADERNO_SCREENSHOTS"):
                SCREENSHOTS.mkdir(parents=True, exist_ok=True)
                (SCREENSHOTS / f"{name}{suffix}.png").write_bytes(picture)
        page.set_viewport_size({"width": 1280, "height": 800})

    return take
