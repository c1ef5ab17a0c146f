"""One running instance for all service tests, and a browser."""

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.chromium import CHROMIUM
from tests.conftest import PATIENCE
from tests.service import http_person
from tests.service.running import Hub, Service, running_service

LOG_LINES = 60


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, pytest.TestReport]:
    """A failed test's report shows what the components logged last."""
    report: pytest.TestReport = yield
    running = getattr(item, "funcargs", {}).get("service")
    if report.failed and isinstance(running, Service):
        report.sections.append(("logs of the components", running.last_lines(LOG_LINES)))
    return report


@pytest.fixture(scope="session")
def service(container_engine: None) -> Iterator[Service]:
    with running_service() as running:
        yield running


@pytest.fixture(scope="session")
def hub(service: Service) -> Hub:
    """The API as an operator's automation uses it."""
    scopes = ["--scope", "servers", "--scope", "read:users", "--scope", "list:users"]
    return Hub(
        service.config.public_url,
        service.quaderno("token", "create", "tests", *scopes).stdout.strip(),
    )


@pytest.fixture(scope="module")
def adas_server(service: Service, hub: Hub) -> Iterator[None]:
    """It runs for the tests of a module."""
    http_person.log_in(service, "ada")
    if not hub.running("ada"):
        hub.start("ada")
    service.await_storage("ada")
    yield
    if hub.running("ada"):
        hub.stop("ada")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-quic", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def person(chromium: Browser) -> Iterator[Callable[[], BrowserContext]]:
    """A person at a browser of their own; may be called for several."""
    contexts: list[BrowserContext] = []

    def sit_down() -> BrowserContext:
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 800}))
        contexts[-1].set_default_timeout(PATIENCE)
        return contexts[-1]

    yield sit_down
    for context in contexts:
        context.close()
