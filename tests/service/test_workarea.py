"""Files that exist only in a server when it stops: by its person, by others, by idleness."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psutil
import pytest
import yaml
from playwright.sync_api import BrowserContext, Locator, Page, expect

from quaderno import config as quaderno_config
from quaderno import supervisor
from tests.service import http_person, people
from tests.service.running import Hub, Service, wait_for
from tests.service.s3 import ObjectStore, object_store

Person = Callable[[], BrowserContext]
Screenshot = Callable[..., None]
SOON = 60_000  # milliseconds
WRITE = """
from pathlib import Path
sizes = {'notes.txt': 900, 'results/run-1.csv': 40_000, 'results/run-2.csv': 52_000}
for name, size in sizes.items():
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(b'x' * size)
"""
BIG = "open('big.bin', 'wb').write(b'x' * 2_000_000)"


def settle(service: Service, **servers: Any) -> None:
    """Change settings of people's servers, and have the hub alone read them."""
    file = service.config.dir / quaderno_config.CONFIG_FILE
    settings = yaml.safe_load(file.read_text())
    settings["servers"] |= servers
    file.write_text(yaml.safe_dump(settings))
    restart_hub(service)


def restart_hub(service: Service) -> None:
    supervisor.restart_component(service.config, "hub")
    wait_for(lambda: service.status()["hub"].state == "running", 120, "the hub")


@pytest.fixture(scope="module", autouse=True)
def little_is_copied_unasked(service: Service) -> Iterator[None]:
    before = service.config.servers.saved_size
    settle(service, saved_size="1M")
    for username in ("ada", "bob"):
        http_person.log_in(service, username)
    yield
    settle(service, saved_size=before)


@pytest.fixture(autouse=True)
def adas_server(service: Service, hub: Hub) -> Iterator[None]:
    """A new one for each test: nothing of the last one's is in it."""
    if hub.running("ada"):
        hub.stop("ada")
    hub.start("ada")
    service.await_storage("ada")
    yield
    if hub.running("ada"):
        hub.stop("ada")


@pytest.fixture(scope="module")
def hub_of_ada(service: Service) -> Hub:
    """The API with a token that may ask about Ada's files, and stop nothing."""
    scope = "custom:quaderno:workarea!user=ada"
    token = service.quaderno("token", "create", "adas-files", "--scope", scope).stdout.strip()
    return Hub(service.config.public_url, token)


@pytest.fixture
def home(service: Service, person: Person) -> Page:
    """The hub's home page, which Ada has open."""
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    page.wait_for_url(f"{service.config.public_url}/user/ada/lab**")
    page.goto(f"{service.config.public_url}/hub/home")
    return page


def dialog_of(page: Page) -> Locator:
    page.get_by_role("button", name="Stop my server").click()
    dialog = page.get_by_role("dialog", name="Stop my server")
    expect(dialog).to_be_visible(timeout=SOON)
    return dialog


def notice(hub_of_ada: Hub) -> dict[str, Any] | None:
    answer = hub_of_ada.request("GET", "/quaderno/users/ada/workarea/notice")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] | None = answer.json()["notice"]
    return found


def saved(store: ObjectStore) -> dict[str, int]:
    """Sizes of all copies, by the end of their path."""
    found = store.client.list_objects_v2(Bucket="ada", Prefix="saved/").get("Contents", [])
    files = [entry for entry in found if not entry["Key"].endswith("/")]
    return {entry["Key"].split("/", 2)[2]: entry["Size"] for entry in files}


def all_are_saved(store: ObjectStore) -> None:
    """And nothing else; a stop does not wait for the upload."""
    wanted = {"notes.txt", "results/run-1.csv", "results/run-2.csv"}
    wait_for(lambda: wanted <= set(saved(store)), 60, "the upload")
    assert set(saved(store)) == wanted


def forget(store: ObjectStore) -> None:
    """No copies are there."""
    for entry in store.client.list_objects_v2(Bucket="ada", Prefix="saved/").get("Contents", []):
        store.client.delete_object(Bucket="ada", Key=entry["Key"])


@pytest.fixture
def store(service: Service) -> ObjectStore:
    found = object_store(service, "ada")
    forget(found)
    return found


# --- by the person


def test_the_dialog_lists_what_would_be_lost_and_copies_it(
    service: Service, hub: Hub, home: Page, store: ObjectStore, screenshot: Screenshot
) -> None:
    service.inside("ada", WRITE + BIG)
    dialog = dialog_of(home)
    expect(dialog).to_contain_text("4 files (2 MB) exist only in this server")
    expect(dialog.get_by_role("row", name="results/run-2.csv 51 KB")).to_be_visible()
    screenshot(home, "stop-dialog")
    home.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert hub.ready("ada"), "nothing has happened"

    dialog = dialog_of(home)
    copy = dialog.get_by_role("button", name="Copy to cloud_storage/ada/saved and stop")
    expect(copy).to_be_focused()
    home.keyboard.press("Enter")
    told = home.get_by_role("region", name="Your last server")
    expect(told).to_contain_text("4 files (2 MB) that existed only there were copied", timeout=SOON)
    expect(told).to_contain_text(re.compile(r"to cloud_storage/ada/saved/[0-9]{4}-[0-9T-]+/"))
    expect(home.get_by_role("button", name="Start my server")).to_be_visible()
    assert not hub.running("ada")
    wanted = {"big.bin": 2_000_000, "notes.txt": 900, "results/run-1.csv": 40_000}
    wanted["results/run-2.csv"] = 52_000
    wait_for(lambda: saved(store) == wanted, 60, "the upload")

    told.get_by_role("button", name="I have read this").click()
    expect(told).to_be_hidden()
    home.reload()
    expect(home.locator("#storage")).to_contain_text("saved", timeout=SOON)
    expect(told).to_be_hidden()


def test_stop_without_copying_copies_nothing_and_tells_nothing(
    service: Service, hub: Hub, home: Page, hub_of_ada: Hub, store: ObjectStore
) -> None:
    service.inside("ada", WRITE)
    dialog_of(home).get_by_role("button", name="Stop without copying").click()
    wait_for(lambda: not hub.running("ada"), 60, "the stop")
    assert notice(hub_of_ada) is None
    hub.start("ada")
    assert saved(store) == {}


def test_nothing_to_lose_stops_at_once(hub: Hub, home: Page) -> None:
    home.get_by_role("button", name="Stop my server").click()
    expect(home.get_by_role("button", name="Start my server")).to_be_visible(timeout=SOON)
    expect(home.get_by_role("dialog")).to_be_hidden()
    assert not hub.running("ada")


def test_a_server_that_does_not_answer_can_be_stopped(
    service: Service, hub: Hub, home: Page, hub_of_ada: Hub
) -> None:
    service.container("ada").pause()
    dialog = dialog_of(home)
    expect(dialog.get_by_role("alert")).to_have_text(
        "The server does not say which files exist only in it."
    )
    expect(dialog.get_by_role("button", name="Copy")).to_be_hidden()
    dialog.get_by_role("button", name="Stop my server").click()
    wait_for(lambda: not hub.running("ada"), 90, "the stop")
    told = notice(hub_of_ada)
    assert told
    assert "did not say which of its files existed nowhere else" in told["sentences"][0]


def test_only_the_person_may_leave_files_and_see_their_names(
    service: Service, hub: Hub, hub_of_ada: Hub
) -> None:
    service.inside("ada", WRITE)
    refused = hub.request("DELETE", "/users/ada/server", json={"workarea": "leave"})
    assert refused.status_code == 403
    assert hub.request("DELETE", "/users/ada/server", json={"workarea": "?"}).status_code == 400
    assert hub.ready("ada")
    assert hub.request("GET", "/quaderno/users/ada/workarea").status_code == 403
    url = f"{service.config.public_url}/hub/api/quaderno/users/ada/workarea"
    assert httpx.get(url, timeout=60).status_code == 403
    found = hub_of_ada.request("GET", "/quaderno/users/ada/workarea").json()
    assert {file["path"] for file in found["files"]} >= {"notes.txt", "results/run-1.csv"}
    assert hub_of_ada.request("GET", "/quaderno/users/bob/workarea").status_code == 403


# --- by others


def test_a_stop_by_others_copies_what_fits_and_says_so_at_the_next_start(
    service: Service,
    hub: Hub,
    hub_of_ada: Hub,
    person: Person,
    store: ObjectStore,
    screenshot: Screenshot,
) -> None:
    service.inside("ada", WRITE + BIG)
    hub.stop("ada")
    told = notice(hub_of_ada)
    assert told
    assert told["sentences"][0] == "Your last server was stopped by an administrator."
    assert "3 files (91 KB) that existed only there were copied" in told["sentences"][1]
    assert told["files"] == ["big.bin (1.9 MB): more than 1 MB in all is not copied unasked"]
    restart_hub(service)
    assert notice(hub_of_ada) == told

    hub.start("ada")
    all_are_saved(store)
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    page.wait_for_url(f"{service.config.public_url}/user/ada/lab**")
    toast = page.get_by_role("alert").filter(has_text="last server")
    expect(toast).to_contain_text("Files of your last server are gone.", timeout=SOON)
    toast.get_by_role("button", name="Details").click()
    details = page.get_by_role("dialog").filter(has_text="Your last server")
    expect(details).to_contain_text("big.bin (1.9 MB)")
    expect(details).to_contain_text("copied to cloud_storage/ada/saved/")
    screenshot(page, "lab-notice", phone=False)
    page.reload()
    expect(page.locator("#quaderno-storage")).to_have_text("Saved", timeout=SOON)
    expect(toast).to_be_hidden()
    page.goto(f"{service.config.public_url}/hub/home")
    on_home = page.get_by_role("region", name="Your last server")
    expect(on_home).to_contain_text("big.bin")
    screenshot(page, "stop-notice")


def test_lab_copies_at_the_push_of_a_button(
    service: Service, home: Page, store: ObjectStore
) -> None:
    service.inside("ada", WRITE)
    home.goto(f"{service.config.public_url}/user/ada/lab")
    home.locator("#quaderno-storage").click(timeout=SOON)
    popup = home.locator("#quaderno-only-here")
    expect(popup).to_contain_text("3 files (93 KB) exist only in this server.", timeout=SOON)
    popup.get_by_role("button", name="Copy to cloud_storage").click()
    expect(popup).to_contain_text(
        "3 files (93 KB) copied to cloud_storage/ada/saved/", timeout=SOON
    )
    wait_for(lambda: "notes.txt" in saved(store), 60, "the upload")
    home.get_by_role("button", name="Close").click()
    home.locator("#quaderno-storage").click()
    expect(popup).to_contain_text("No file exists only in this server.", timeout=SOON)


# --- because it is idle, and where the storage is away


@contextmanager
def idle_after(service: Service, seconds: int) -> Iterator[None]:
    settle(service, idle_timeout=seconds)
    try:
        yield
    finally:
        settle(service, idle_timeout=service.config.servers.idle_timeout)


def test_an_idle_server_is_stopped_and_its_files_are_copied(
    service: Service, hub: Hub, hub_of_ada: Hub, person: Person, store: ObjectStore
) -> None:
    service.inside("ada", WRITE)
    with idle_after(service, 8):
        wait_for(lambda: not hub.running("ada"), 120, "the end of an idle server")
    told = notice(hub_of_ada)
    assert told
    assert "because nothing had happened in it for long" in told["sentences"][0]
    assert "3 files (91 KB)" in told["sentences"][1]
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    expect(page.get_by_role("heading", name="Server options")).to_be_visible(timeout=SOON)
    page.goto(f"{service.config.public_url}/hub/user/ada/lab")
    expect(page.get_by_role("heading", name="Your server is not running")).to_be_visible()
    expect(page.locator("main")).to_contain_text("because nothing had happened in it for long")
    hub.start("ada")
    all_are_saved(store)


def without_storage(service: Service) -> None:
    """The store is away, and rclone, too, which would keep files for it."""
    supervisor.stop_component(service.config, "store")
    for process in psutil.process_iter(["cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if " rcd " in words and str(service.config.dir) in words:
            with suppress(ProcessLookupError):  # of somebody whose server has stopped
                os.kill(process.pid, signal.SIGKILL)
    listing = "import os; print(os.access('/workarea/cloud_storage/ada', os.W_OK))"
    wait_for(
        lambda: service.inside("ada", listing, check=False)[1] == "False", 60, "the mount's end"
    )


def test_an_idle_server_waits_for_its_storage_and_others_stops_say_what_was_lost(
    service: Service, hub: Hub, hub_of_ada: Hub
) -> None:
    service.inside("ada", WRITE)
    without_storage(service)
    try:
        with idle_after(service, 4):
            log = service.config.logs / "hub.log"
            refusal = re.compile(r"ada is not stopped yet: .*3 files \(91 KB\) could not be copied")
            wait_for(lambda: refusal.search(log.read_text()), 120, "a refusal")
            assert hub.ready("ada")
            hub.stop("ada")
    finally:
        supervisor.restart_component(service.config, "store")
        wait_for(service.all_running, 120, "the store")
    told = notice(hub_of_ada)
    assert told
    assert told["lost"]
    assert "3 files (91 KB) were not copied and are gone:" in told["sentences"]
    assert "notes.txt (900 bytes): cloud_storage did not take it" in told["files"]
