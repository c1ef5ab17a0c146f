"""Quaderno's part of JupyterLab, in a real browser, with a hub that tests can break."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.models.networks import Network
from playwright.sync_api import Locator, Page, Response, Route, expect, sync_playwright

from quaderno import config as configuration
from quaderno.images import build
from tests.chromium import CHROMIUM
from tests.contract.hub_api import Asked, HubApi, environment
from tests.contract.lab_fixtures import bridge, client_of, gateway
from tests.contract.storage_fixtures import eventually
from tests.serving import serving

READY: dict[str, Any] = {
    "user": "anna",
    "node": "here",
    "servers": [""],
    "state": "READY",
    "reason": "",
    "level": "ok",
    "message": "Everything is saved.",
    "pending": {"files": 0, "bytes": 0, "oldest": None},
    "refused": [],
    "rescued": 0,
    "read_only": False,
    "quota": None,
    "local_quota": None,
}
FULL = {"limit": 100, "used": 100, "full": True, "cleaning": None, "text": "100 of 100 bytes used"}
CLEANING = FULL | {"cleaning": 900}
EXPIRES_AT = 1_900_000_000  # Unix seconds
SOON = 60_000  # milliseconds; the page looks every half minute while all is well


class Hub(HubApi):
    """Also asked for tokens and for Anna's storage; `refresh` puts a file into `files`."""

    def __init__(self, address: str, files: Path) -> None:
        super().__init__(address)
        self.files = files
        self.storage: tuple[int, Any] = (200, READY)
        self.token: tuple[int, Any] = (200, {"access_token": "t", "expires_at": EXPIRES_AT})

    def answer(self, asked: Asked) -> tuple[int, Any]:
        if asked.path.endswith("/anna/access-token"):
            return self.token
        if asked.path.endswith("/anna/storage"):
            return self.storage
        if (asked.method, asked.path[-8:]) == ("POST", "/refresh"):
            (self.files / "through-s3.txt").write_text("from elsewhere")
            return 200, {}
        if (asked.method, asked.path[-9:]) == ("POST", "/clean-up"):
            self.says(level="warning", message="You can delete files.", quota=CLEANING)
            return self.storage
        return super().answer(asked)

    def says(self, **changes: Any) -> None:
        self.storage = (200, {**READY, **changes})


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def network(stack: ExitStack, engine: docker.DockerClient) -> Network:
    return stack.enter_context(bridge(engine))


@pytest.fixture(scope="module")
def module_hub(stack: ExitStack, network: Network, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    files = tmp_path_factory.mktemp("files")
    files.chmod(0o755)
    return stack.enter_context(serving(Hub(gateway(network), files)))


@pytest.fixture
def hub(module_hub: Hub) -> Hub:
    """A hub that is content."""
    module_hub.says()
    return module_hub


@pytest.fixture(scope="module")
def lab(
    stack: ExitStack,
    engine: docker.DockerClient,
    network: Network,
    module_hub: Hub,
    tmp_path_factory: pytest.TempPathFactory,
) -> httpx.Client:
    """A client of Anna's JupyterLab."""
    config = configuration.generate(tmp_path_factory.mktemp("image"))
    build.build_base(config, print)
    limits = {"CPU_LIMIT": "0.5", "MEM_LIMIT": str(2**30)}
    container = engine.containers.run(
        build.base_reference(config),
        detach=True,
        environment={**limits, **environment(module_hub.url)},
        network=network.name,
        user="1000:100",
        cap_drop=["ALL"],
        volumes={str(module_hub.files): {"bind": "/workarea/cloud_storage/anna", "mode": "ro"}},
    )
    stack.callback(container.remove, force=True, v=True)
    return stack.enter_context(client_of(container, network))


@pytest.fixture(scope="module")
def browser_page(stack: ExitStack, lab: httpx.Client) -> Page:
    playwright = stack.enter_context(sync_playwright())
    browser = playwright.chromium.launch(
        executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"]
    )
    stack.callback(browser.close)
    headers = {"Authorization": lab.headers["Authorization"]}
    page = browser.new_page(viewport={"width": 1280, "height": 800}, extra_http_headers=headers)
    page.set_default_timeout(SOON)
    return page


@pytest.fixture
def page(browser_page: Page, hub: Hub, lab: httpx.Client) -> Page:
    """JupyterLab, just opened in Anna's directory, with nothing to complain of; the launcher, which
    takes the focus when it is opened, is there."""
    browser_page.goto(f"{lab.base_url}lab?reset")
    browser_page.wait_for_url(re.compile(r"/lab/?$"))
    expect(_launcher(browser_page)).to_be_visible(timeout=60_000)
    expect(_item(browser_page)).to_have_text("Saved", timeout=60_000)
    return browser_page


def _item(page: Page) -> Locator:
    return page.locator("#quaderno-storage")


def _launcher(page: Page) -> Locator:
    return page.locator(".jp-LauncherCard[data-category='Notebook']").first


def test_jupyterlab_starts_while_nothing_of_this_answers(
    browser_page: Page, hub: Hub, lab: httpx.Client
) -> None:
    """It waits for the small script that announces the parts, and for nothing else."""
    held: list[Route] = []
    released: list[bool] = []
    parts = re.compile(r"/extensions/quaderno/static/(?!remoteEntry)")
    browser_page.route(parts, lambda route: route.continue_() if released else held.append(route))
    with browser_page.expect_request(parts, timeout=60_000):
        browser_page.goto(f"{lab.base_url}lab?reset")
    expect(_launcher(browser_page)).to_be_visible(timeout=60_000)
    expect(_item(browser_page)).to_have_count(0)
    released.append(True)
    for route in held:
        route.continue_()
    expect(_item(browser_page)).to_have_text("Saved", timeout=60_000)


def test_browsers_keep_parts_of_extensions_until_they_change(
    lab: httpx.Client, browser_page: Page
) -> None:
    parts: list[Response] = []
    browser_page.on(
        "response", lambda response: parts.append(response) if ".js?v=" in response.url else None
    )
    browser_page.goto(f"{lab.base_url}lab?reset")
    expect(_launcher(browser_page)).to_be_visible(timeout=60_000)
    kept = {part.url: part.header_value("Cache-Control") or "" for part in parts}
    assert any("/lab/extensions/" in url for url in kept)
    assert {url for url, how in kept.items() if "max-age=" not in how or "no-cache" in how} == set()
    entry = lab.get("lab/extensions/quaderno/static/remoteEntry.js")
    assert entry.headers["Cache-Control"] == "no-cache"


def test_the_servers_own_routes_are_for_its_user(lab: httpx.Client, hub: Hub) -> None:
    told = lab.get("quaderno/health")
    assert (told.status_code, told.json()["label"]) == (200, "Saved")
    assert told.headers["Cache-Control"] == "no-store"
    assert lab.post("quaderno/refresh").json() == {"refreshed": True, "message": ""}
    assert lab.post("quaderno/clean-up").json() == {"allowed": True, "message": ""}
    nobody = {"Authorization": ""}
    assert lab.get("quaderno/health", headers=nobody).status_code == 403
    assert lab.post("quaderno/refresh", headers=nobody).status_code == 403
    assert lab.post("quaderno/clean-up", headers=nobody).status_code == 403


_TEXT_FILE = {"type": "file", "format": "text", "content": "text"}


def test_what_is_deleted_is_gone(lab: httpx.Client) -> None:
    """In a wastebasket, which would be in the bucket, it would count for the quota."""
    assert '"delete_to_trash": false' in lab.get("lab").text
    for path, what in (("full", {"type": "directory"}), ("full/of.txt", _TEXT_FILE)):
        assert lab.put(f"api/contents/{path}", json=what).status_code == 201
    assert lab.delete("api/contents/full").status_code == 204
    assert lab.get("api/contents/full").status_code == 404


def test_the_item_follows_what_the_hub_says(page: Page, hub: Hub) -> None:
    expect(_item(page)).to_have_attribute("data-level", "ok")
    expect(_item(page)).to_have_attribute("title", "Everything is saved.")
    hub.says(
        level="warning",
        message="The object store is away.",
        pending={"files": 3, "bytes": 3_000_000, "oldest": 130.0},
    )
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(_item(page)).to_have_text("Waiting to save 3 files", timeout=SOON)
    expect(page.locator(".quaderno-news")).to_contain_text("The object store is away.")
    hub.says()
    expect(_item(page)).to_have_text("Saved", timeout=SOON)


def test_the_popup_tells_what_was_refused_and_what_to_do(page: Page, hub: Hub) -> None:
    hub.says(
        level="error",
        message="The object store refused a file.",
        refused=[{"path": "cloud_storage/anna/<b>big</b>.csv", "reason": "It is full."}],
        rescued=2,
    )
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(_item(page)).to_have_text("1 file refused", timeout=SOON)
    _item(page).click()
    popup = page.get_by_role("dialog", name="1 file refused")
    expect(popup).to_contain_text("cloud_storage/anna/<b>big</b>.csv: It is full.")
    expect(popup).to_contain_text("cloud_storage/anna/.quaderno/rescued/")
    hub_link = popup.get_by_role("link", name="Hub Control Panel")
    expect(hub_link).to_have_attribute("href", "/hub/home")
    files_link = popup.get_by_role("link", name="Your files in the browser")
    expect(files_link).to_have_attribute("href", "/services/files/")
    page.keyboard.press("Escape")
    expect(popup).to_be_hidden()
    expect(_item(page)).to_be_focused()


def test_who_is_at_the_quota_is_let_in_to_clean_up(page: Page, hub: Hub) -> None:
    local = {"limit": 10, "used": 1, "text": "1 byte of 10 bytes used"}
    full = {"level": "error", "message": "Your quota is used up.", "read_only": True}
    hub.says(**full, quota=FULL, local_quota=local)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(_item(page)).to_have_text("Storage full", timeout=SOON)
    _item(page).click()
    popup = page.get_by_role("dialog", name="Storage full")
    expect(popup).to_contain_text("In your bucket: 100 of 100 bytes used.")
    expect(popup).to_contain_text("In local, on here: 1 byte of 10 bytes used.")
    button = popup.get_by_role("button", name="Let me delete files")
    button.click()
    expect(popup).to_contain_text("You can delete files.", timeout=SOON)
    expect(button).to_be_hidden()
    page.keyboard.press("Escape")


def test_a_hub_that_fails_is_a_warning_and_work_goes_on(page: Page, hub: Hub) -> None:
    hub.storage = (502, None)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(_item(page)).to_have_text("Storage unknown", timeout=SOON)
    expect(_item(page)).to_have_attribute("title", "The hub cannot be reached; your work goes on")
    hub.says()
    expect(_item(page)).to_have_text("Saved", timeout=SOON)


def test_the_popup_tells_how_long_the_token_is_valid(page: Page) -> None:
    _item(page).press("Enter")
    popup = page.get_by_role("dialog", name="Saved")
    until = page.evaluate(
        f"new Date({EXPIRES_AT}000).toLocaleTimeString([], {{hour: '2-digit', minute: '2-digit'}})"
    )
    expect(popup).to_contain_text(f"You are logged in. Your access token is valid until {until},")
    page.keyboard.press("Escape")


def test_news_takes_no_link_from_under_ones_fingers(page: Page, hub: Hub) -> None:
    _item(page).click()
    link = page.get_by_role("dialog").get_by_role("link", name="Hub Control Panel")
    link.focus()
    hub.says(message="All of it is saved.")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("dialog")).to_contain_text("All of it is saved.", timeout=SOON)
    expect(link).to_be_focused()
    page.keyboard.press("Escape")


def test_who_is_not_let_in_any_more_is_told_to_log_in(page: Page) -> None:
    page.route("**/quaderno/health*", lambda route: route.fulfill(status=403, json={}))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(_item(page)).to_have_text("Log in again", timeout=SOON)
    _item(page).click()
    link = page.get_by_role("dialog").get_by_role("link", name="Log in again")
    expect(link).to_have_attribute("href", "/hub/home")
    with page.context.expect_page() as another:
        link.click()
    another.value.close()
    page.keyboard.press("Escape")
    page.unroute_all()
    expect(_item(page)).to_have_text("Saved", timeout=SOON)


@pytest.mark.parametrize("opens", ["Launcher", "Notebook"])
def test_on_a_phone_the_item_can_be_read_and_pressed(page: Page, hub: Hub, opens: str) -> None:
    if opens == "Notebook":
        page.locator(".jp-LauncherCard[data-category='Notebook']").first.click()
        expect(page.get_by_text("Mode: ")).to_be_visible(timeout=SOON)
    page.set_viewport_size({"width": 390, "height": 844})
    hub.says(level="warning", pending={"files": 120, "bytes": 3, "oldest": 130.0})

    def is_told() -> bool:  # an answer from before may be under way
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        return _item(page).inner_text().strip() == "Waiting to save 120 files"

    eventually(is_told, 60, "the item tells of the files")
    expect(_item(page)).to_be_in_viewport(ratio=1)
    _item(page).click()
    expect(page.get_by_role("dialog")).to_be_in_viewport(ratio=1)
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 1280, "height": 800})


def test_refresh_shows_what_was_changed_elsewhere(page: Page, hub: Hub) -> None:
    (hub.files / "through-s3.txt").unlink(missing_ok=True)
    listing = page.locator(".jp-DirListing-content")
    for name in ("cloud_storage", "anna"):
        listing.get_by_text(name, exact=True).dblclick()
    expect(listing.get_by_text("anna", exact=True)).to_be_hidden()
    expect(listing.get_by_text("through-s3.txt")).to_be_hidden()
    page.locator(".jp-FileBrowser-toolbar [data-jp-item-name=refresh]").click()
    expect(listing.get_by_text("through-s3.txt")).to_be_visible()


def test_a_file_of_the_store_is_opened_on_the_page_of_files(page: Page, hub: Hub) -> None:
    (hub.files / "a b#1.txt").write_text("")
    listing, shown = page.locator(".jp-DirListing-content"), page.get_by_role("menu")
    entry = shown.get_by_text("Share, Versions … (Files)")
    listing.get_by_text("cloud_storage", exact=True).click(button="right")
    expect(shown.get_by_text("Rename")).to_be_visible()
    expect(entry).to_be_hidden()
    page.keyboard.press("Escape")
    for name in ("cloud_storage", "anna"):
        listing.get_by_text(name, exact=True).dblclick()
    listing.get_by_text("a b#1.txt").click(button="right")
    with page.context.expect_page() as another:
        entry.click()
    address = "/services/files/item?area=home&key=a%20b%231.txt"
    there = re.compile(f"^[^/]+//[^/]+{re.escape(address)}$")
    another.value.wait_for_url(there, timeout=SOON)  # it may open empty
    another.value.close()


def test_the_extensions_work_and_ask_nobody_else(page: Page, lab: httpx.Client) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{lab.base_url}lab?reset")
    page.locator(".jp-LauncherCard[data-category='Notebook']").first.click(timeout=60_000)
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click(timeout=60_000)
    page.keyboard.insert_text("nobody_defined_this")
    underlined = page.locator(".cm-lintRange", has_text="nobody_defined_this")
    expect(underlined).to_be_visible(timeout=60_000)
    expect(page.locator("#jp-bottom-panel")).to_contain_text("Fully initialized")
    usage = re.compile(r"CPU:.*%.*Mem:.*1024.00 MB")
    expect(page.locator("#jp-bottom-panel")).to_contain_text(usage, timeout=60_000)
    page.locator("[data-id=jp-git-sessions]").click()
    expect(page.get_by_role("button", name="Clone a Repository")).to_be_visible()
    elsewhere = [url for url in asked if not url.startswith((str(lab.base_url), "data:", "blob:"))]
    assert asked and elsewhere == []


def test_a_program_of_ones_own_is_seen_through_the_server_by_its_user_only(
    network: Network, lab: httpx.Client
) -> None:
    network.reload()
    (container,) = network.containers
    container.exec_run(["python", "-m", "http.server", "8123"], detach=True)
    eventually(lambda: lab.get("proxy/8123/").status_code == 200, 60, "the program answers")
    assert "cloud_storage/" in lab.get("proxy/8123/").text
    assert lab.get("proxy/8123/", headers={"Authorization": ""}).status_code in (302, 403)
    gateway = network.attrs["IPAM"]["Config"][0]["Gateway"]
    assert lab.get(f"proxy/{gateway}:22/").status_code == 403, "no way to other machines"
