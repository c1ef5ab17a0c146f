"""Starts that wait in line in the form, and the way there by keyboard alone or without scripts."""

import re
from collections.abc import Callable, Iterator

import docker
import pytest
import yaml
from playwright.sync_api import Browser, BrowserContext, Page, expect

from quaderno import config as quaderno_config
from tests.conftest import PATIENCE
from tests.service import http_person, people
from tests.service.barriers import barriers, tab_to
from tests.service.running import Hub, Service, wait_for

SOON = 60_000  # milliseconds
ROOM = 3 * 2**30  # bytes, for all servers


@pytest.fixture(scope="module")
def little_room(service: Service, hub: Hub) -> Iterator[None]:
    """For 3 GB of servers, of which Bob's has 2, and so had Ada's last one."""
    file = service.config.dir / quaderno_config.CONFIG_FILE
    before = file.read_text()
    settings = yaml.safe_load(before)
    settings["servers"]["room"] = {"memory": ROOM / docker.from_env().info()["MemTotal"]}
    for username in ("ada", "bob"):
        http_person.log_in(service, username)
    for somebody in hub.request("GET", "/users", params={"state": "active"}).json():
        hub.stop(somebody["name"])
    hub.start("ada", image="base", cpu=0.5, memory="2G")  # which the form offers again
    hub.stop("ada")
    file.write_text(yaml.safe_dump(settings))
    try:
        service.quaderno("up", "--detach")
        hub.start("bob", image="base", cpu=0.5, memory="2G")
        yield
    finally:
        file.write_text(before)
        service.quaderno("up", "--detach")
        for username in ("ada", "bob"):
            if hub.running(username):
                hub.stop(username)


def test_a_start_waits_in_line_and_goes_on_by_itself(
    service: Service,
    hub: Hub,
    little_room: None,
    person: Callable[[], BrowserContext],
    screenshot: Callable[..., None],
) -> None:
    """Without a mouse; axe-core says what stands in others' way."""
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    memory, wait = page.get_by_label("Memory"), page.get_by_label("Start when there is room")
    expect(page.get_by_text("Free now:")).to_contain_text("1 of 3 GB of memory")
    expect(memory.locator("option", has_text="2 GB")).to_have_text("2 GB (not free now)")
    expect(memory.locator("option", has_text="2 GB")).to_be_disabled()
    expect(memory).to_have_value("1G")  # what is free, in place of the default
    expect(wait).to_have_accessible_description(re.compile("waits in line, for 60 minutes at most"))
    expect(page.locator("#wait-news")).to_have_text("2 GB (not free now): 1 GB chosen instead.")
    # As Bob's start was.
    expect(page.get_by_label("Image", exact=True)).to_have_accessible_description(
        re.compile(r"Usually ready in about \d+ s\.$")
    )
    assert barriers(page) == []
    screenshot(page, "room")
    _choose_by_keyboard(page)

    message = page.locator("#progress-message")
    expect(message).to_have_text("Waiting for room: place 1 of 1 in line", timeout=SOON)
    expect(message).to_have_attribute("aria-live", "polite")
    expect(page.get_by_role("progressbar", name="Progress of the start")).to_be_visible()
    assert barriers(page) == []
    screenshot(page, "start-waiting")
    tab_to(page, page.get_by_role("button", name="Cancel"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"{service.config.public_url}/hub/home")
    wait_for(lambda: not hub.running("ada"), 60, "the end of the wait")
    assert hub.ready("bob")

    page.goto(f"{service.config.public_url}/hub/spawn")
    expect(page.get_by_text("Free now:")).not_to_contain_text("wait")
    _choose_by_keyboard(page)
    expect(message).to_have_text("Waiting for room: place 1 of 1 in line", timeout=SOON)
    hub.stop("bob")
    page.wait_for_url(f"{service.config.public_url}/user/ada/lab**", timeout=SOON)
    assert service.container("ada").attrs["HostConfig"]["Memory"] == 2 * 2**30
    hub.stop("ada")


def _choose_by_keyboard(page: Page) -> None:
    """2 GB, to wait for; the choice of before is taken back when it is not free."""
    tab_to(page, page.get_by_label("Start when there is room"))
    page.keyboard.press("Space")
    memory = page.get_by_label("Memory")
    page.keyboard.press("Shift+Tab")
    expect(memory).to_be_focused()
    page.keyboard.press("2")  # as in any drop-down
    expect(memory).to_have_value("2G")
    tab_to(page, page.get_by_role("button", name="Start", exact=True))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Your server is starting")).to_be_visible(timeout=SOON)


def test_all_of_it_works_without_scripts(
    service: Service, hub: Hub, little_room: None, chromium: Browser
) -> None:
    if not hub.running("bob"):
        hub.start("bob", image="base", cpu=0.5, memory="2G")
    context = chromium.new_context(java_script_enabled=False)
    context.set_default_timeout(PATIENCE)
    try:
        page = context.new_page()
        people.log_in(page, service, "ada")
        people.authorize(page)
        page.get_by_label("Memory").select_option("2G")
        start = page.get_by_role("button", name="Start", exact=True)
        start.click()
        said = page.get_by_role("alert")
        expect(said).to_contain_text("There is no room for this server now", timeout=SOON)
        expect(said).to_contain_text("choose to start when there is room")
        page.get_by_label("Memory").select_option("2G")
        page.get_by_label("Start when there is room").check()
        start.click()
        step = page.get_by_role("listitem").filter(has_text="place 1 of 1 in line")
        expect(step).to_be_visible(timeout=SOON)
        page.get_by_role("button", name="Cancel").click()
        page.wait_for_url(f"{service.config.public_url}/hub/home")
        wait_for(lambda: not hub.running("ada"), 60, "the end of the wait")

        page.goto(f"{service.config.public_url}/hub/spawn")
        page.get_by_label("Memory").select_option("2G")
        page.get_by_label("Start when there is room").check()
        start.click()
        expect(step).to_be_visible(timeout=SOON)
        hub.stop("bob")
        page.wait_for_url(f"{service.config.public_url}/user/ada/lab**", timeout=SOON)
    finally:
        context.close()
