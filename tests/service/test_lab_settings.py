"""JupyterLab on the bucket, in a browser: what is restored, and what follows into other servers."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from tests.service import http_person, people
from tests.service.running import Hub, Service, wait_for
from tests.service.s3 import object_store

SOON = 60_000  # milliseconds
THEME = ".quaderno/lab/user-settings/@jupyterlab/apputils-extension/themes.jupyterlab-settings"
TABS = ".quaderno/lab/workspaces/default-37a8.jupyterlab-workspace"


@pytest.fixture(scope="module", autouse=True)
def bobs_server(service: Service, hub: Hub) -> Iterator[None]:
    http_person.log_in(service, "bob")
    if not hub.running("bob"):
        hub.start("bob")
    yield
    hub.stop("bob")


@pytest.fixture
def open_lab(service: Service, person: Callable[[], BrowserContext]) -> Callable[[], Page]:
    """Bob at a browser that has never seen JupyterLab."""

    def open_lab() -> Page:
        page = person().new_page()
        people.log_in(page, service, "bob")
        people.authorize(page)
        page.wait_for_url(f"{service.config.public_url}/user/bob/lab**")
        expect(page.locator("#quaderno-storage")).to_have_text("Saved", timeout=60_000)
        return page

    return open_lab


def choose(page: Page, *names: str) -> None:
    """Go through the menus."""
    page.locator(".lm-MenuBar-item").get_by_text(names[0], exact=True).click()
    for name in names[1:]:
        label = page.locator(".lm-Menu-itemLabel")
        label.filter(has_text=re.compile(f"^{re.escape(name)}…?$")).click()


def body(page: Page) -> Locator:
    return page.locator("body")


def keys(service: Service) -> set[str]:
    listed = object_store(service, "bob").client.list_objects_v2(Bucket="bob").get("Contents", [])
    return {entry["Key"] for entry in listed}


def test_a_notebook_in_the_bucket_is_saved_and_restored(
    service: Service, open_lab: Callable[[], Page]
) -> None:
    page = open_lab()
    people.start_anew(page, service, "bob", "cloud_storage/bob")
    people.run_cell(page, "print(6 * 7)", "42")
    choose(page, "File", "Save Notebook")
    page.get_by_role("button", name="Rename and Save").click()
    tab = page.locator(".lm-TabBar-tab.jp-mod-current")
    expect(tab).not_to_have_class(re.compile("jp-mod-dirty"))
    wait_for(lambda: "Untitled.ipynb" in keys(service), 60, "the upload")
    cells = page.locator(".jp-Notebook")
    page.locator(".jp-Notebook .jp-CodeCell .cm-content").last.click()
    page.keyboard.insert_text("print('a mistake')")
    expect(cells).to_contain_text("a mistake")
    choose(page, "File", "Revert Notebook to Checkpoint")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    expect(cells).not_to_contain_text("a mistake", timeout=SOON)
    expect(cells).to_contain_text("print(6 * 7)")
    choose(page, "File", "Save Notebook")
    expect(tab).not_to_have_class(re.compile("jp-mod-dirty"))
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#quaderno-storage")).to_have_text("Saved", timeout=SOON)
    assert [key for key in keys(service) if "checkpoint" in key or "sqlite" in key] == []


def test_settings_and_tabs_are_there_in_the_next_server(
    service: Service, hub: Hub, open_lab: Callable[[], Page]
) -> None:
    store = object_store(service, "bob")
    page = open_lab()
    people.start_anew(page, service, "bob", "examples/s3_boto3.py")
    tabs = ".lm-TabBar-tab >> text=s3_boto3.py"
    expect(page.locator(tabs)).to_be_visible(timeout=SOON)
    choose(page, "Settings", "Theme", "JupyterLab Dark")
    expect(body(page)).to_have_attribute("data-jp-theme-name", "JupyterLab Dark", timeout=SOON)
    wait_for(lambda: b"Dark" in (store.read("bob", THEME) or b""), 60, "the upload")
    wait_for(lambda: b"s3_boto3.py" in (store.read("bob", TABS) or b""), 60, "the upload")
    hub.stop("bob")
    hub.start("bob")
    service.await_storage("bob")  # its settings are read when JupyterLab opens
    page = open_lab()
    expect(body(page)).to_have_attribute("data-jp-theme-name", "JupyterLab Dark", timeout=SOON)
    expect(page.locator(tabs)).to_be_visible(timeout=SOON)
    choose(page, "Settings", "Theme", "JupyterLab Light")  # as other tests expect it
    wait_for(lambda: b"Light" in (store.read("bob", THEME) or b""), 60, "the upload")
