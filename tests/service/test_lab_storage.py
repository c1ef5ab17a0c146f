"""What JupyterLab says of a person's storage, while their files come, go and have to wait."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from quaderno import supervisor
from tests.service import people
from tests.service.running import Service, wait_for
from tests.service.s3 import object_store

pytestmark = pytest.mark.usefixtures("adas_server")
Screenshot = Callable[..., None]
SOON = 60_000  # milliseconds; the page looks every five seconds while it has reason to


@pytest.fixture
def page(service: Service, person: Callable[[], BrowserContext]) -> Page:
    """Ada's JupyterLab, open on her bucket, with everything saved."""
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    page.wait_for_url(f"{service.config.public_url}/user/ada/lab**")
    page.goto(f"{service.config.public_url}/user/ada/lab/tree/cloud_storage/ada")
    expect(_item(page)).to_have_text("Saved", timeout=60_000)
    return page


def _item(page: Page) -> Locator:
    return page.locator("#quaderno-storage")


def _listing(page: Page) -> Locator:
    return page.locator(".jp-DirListing-content")


def test_refresh_shows_at_once_what_came_through_s3(service: Service, page: Page) -> None:
    store = object_store(service, "ada")
    store.client.put_object(Bucket="ada", Key="through-s3.txt", Body=b"from elsewhere")
    expect(_listing(page).get_by_text("through-s3.txt")).to_be_hidden()
    page.locator(".jp-FileBrowser-toolbar [data-jp-item-name=refresh]").click()
    expect(_listing(page).get_by_text("through-s3.txt")).to_be_visible()


def test_it_tells_of_files_that_wait_for_the_store(
    service: Service, page: Page, screenshot: Screenshot
) -> None:
    supervisor.stop_component(service.config, "store")
    try:
        service.inside("ada", "open('/workarea/cloud_storage/ada/waits.txt', 'w').write('kept')")
        # This file, and JupyterLab's own settings when they have changed.
        waiting = re.compile(r"Waiting to save [1-9]\d* files?")
        expect(_item(page)).to_have_text(waiting, timeout=SOON)
        _item(page).click()
        popup = page.get_by_role("dialog")
        expect(popup).to_contain_text("not in the object store yet")
        expect(popup.get_by_role("link", name="Hub Control Panel")).to_be_visible()
        screenshot(page, "lab-storage", phone=False)
        page.keyboard.press("Escape")
    finally:
        supervisor.restart_component(service.config, "store")
    wait_for(service.all_running, 120, "the store")
    expect(_item(page)).to_have_text("Saved", timeout=SOON)
    assert object_store(service, "ada").read("ada", "waits.txt") == b"kept"
