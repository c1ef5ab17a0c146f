"""A small quota as its owner meets it: a bar, a notice, an end of writing, and cleaning up."""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.service import people
from tests.service.running import Hub, Service, wait_for

Screenshot = Callable[..., None]
PASSWORD = "a-needle-of-granite-1460"
SOON = 60_000  # milliseconds
FOLDER = "/workarea/cloud_storage/cleo"
WRITE = f"import os; open('{FOLDER}/%s', 'wb').write(os.urandom(%d << 20))"
MAY_WRITE = f"import os; print(os.access('{FOLDER}', os.W_OK))"


@pytest.fixture(scope="module")
def cleo(service: Service) -> str:
    service.register("cleo", PASSWORD, "--group", "/small")
    return "cleo"


@pytest.fixture
def page(service: Service, person: Callable[[], BrowserContext], cleo: str) -> Page:
    """Cleo's, who has logged in."""
    page = person().new_page()
    people.come_in(page, service, cleo, PASSWORD)
    return page


@pytest.fixture
def server(service: Service, page: Page, hub: Hub, cleo: str) -> Iterator[None]:
    hub.start(cleo)
    service.await_storage(cleo)
    yield
    hub.stop(cleo)


@pytest.mark.usefixtures("server")
def test_a_quota_from_the_first_file_to_the_clean_up(
    service: Service, page: Page, screenshot: Screenshot
) -> None:
    page.goto(f"{service.config.public_url}/hub/home")
    card, meter = page.locator("#storage"), page.locator("#storage meter")
    expect(card).to_contain_text("of 8 MB used", timeout=SOON)
    expect(meter).to_be_visible()
    service.inside("cleo", WRITE % ("maps", 7))
    expect(card).to_contain_text("of your quota is used: delete what you do not need", timeout=SOON)
    expect(card).to_contain_text("7 MB of 8 MB used (8")
    assert float(meter.evaluate("meter => meter.value")) >= 0.8
    button = page.get_by_role("button", name="Let me delete files")
    expect(button).to_be_hidden()
    screenshot(page, "quota-card")

    service.inside("cleo", WRITE % ("photographs", 2))
    expect(card).to_contain_text("Your quota of 8 MB is used up", timeout=SOON)
    wait_for(lambda: service.inside("cleo", MAY_WRITE)[1] == "False", 60, "the end of writing")
    status, output = service.inside("cleo", WRITE % ("more", 1), check=False)
    assert status != 0
    assert "Read-only file system" in output
    # Whether each component answers at once is no matter here.
    told = json.loads(service.quaderno("status", "--json", check=False).stdout)["storage"]
    (mine,) = [user for user in told if user["user"] == "cleo"]
    assert mine["quota"]["limit"] == 8 << 20
    assert mine["quota"]["full"]
    assert "of 8 MB used" in service.quaderno("status", check=False).stdout

    button.click()
    expect(card).to_contain_text("minutes you can delete files", timeout=SOON)
    expect(button).to_be_hidden()
    service.inside("cleo", f"import os; os.unlink('{FOLDER}/maps')")
    expect(card).to_contain_text("Everything is saved.", timeout=SOON)
    expect(card).to_contain_text("2 MB of 8 MB used", timeout=SOON)
    service.inside("cleo", WRITE % ("more", 1))


def test_the_start_page_says_where_the_local_files_are(service: Service, page: Page) -> None:
    where = page.locator(".q-where")
    expect(where).to_contain_text(f"on this machine ({service.config.node_name}) only")
    expect(where).not_to_contain_text("of last time")
