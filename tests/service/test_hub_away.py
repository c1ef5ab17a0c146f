"""A hub that stays away: its pages say so, and come back by themselves."""

from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from quaderno import supervisor
from tests.service.barriers import barriers
from tests.service.running import Service, wait_for


@pytest.fixture
def hub_away(service: Service) -> Iterator[None]:
    supervisor.stop_component(service.config, "hub")
    yield
    if not service.all_running():
        supervisor.restart_component(service.config, "hub")
    wait_for(service.all_running, 120, "the hub")


@pytest.mark.usefixtures("hub_away")
def test_a_page_says_that_the_hub_is_away_and_comes_back_by_itself(
    service: Service, person: Callable[[], BrowserContext]
) -> None:
    public = service.config.public_url
    asked = httpx.post(
        f"{public}/hub/api/users", headers={"Accept": "application/json"}, timeout=60
    )
    assert asked.status_code == 502
    assert asked.json() == {"message": "The service is not there now: try again in a moment."}

    page = person().new_page()
    answer = page.goto(f"{public}/hub/login", timeout=60_000)
    assert answer is not None
    assert answer.status == 502
    expect(page.get_by_role("heading", name="Quaderno is not there now")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text("This page tries again by itself")
    assert barriers(page) == []
    supervisor.restart_component(service.config, "hub")
    login = page.get_by_label("Username or e-mail address")
    expect(login).to_be_visible(timeout=120_000)
    assert page.url.startswith(service.config.iam_url)
