"""From the endpoint to a notebook whose directory is a bucket, in a real browser."""

import os
import re
import signal
from collections.abc import Callable

import docker
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.service import people
from tests.service.barriers import barriers
from tests.service.running import Hub, Service, wait_for
from tests.service.s3 import object_store

Person = Callable[[], BrowserContext]
Screenshot = Callable[..., None]


def test_a_person_gets_from_the_endpoint_to_a_notebook(
    service: Service, person: Person, screenshot: Screenshot
) -> None:
    page = person().new_page()
    page.goto(service.config.public_url)
    expect(page.get_by_label("Password")).to_be_visible()
    screenshot(page, "log-in")

    people.log_in(page, service, "ada")
    people.authorize(page)

    expect(page.get_by_role("heading", name="Server options")).to_be_visible()
    expect(page.get_by_label("Image", exact=True)).to_have_value("base")
    free = page.get_by_text("Free now:")
    expect(free).to_contain_text(f"of {docker.from_env().info()['NCPU']} CPUs")
    expect(page.get_by_label("Memory")).to_have_accessible_description(re.compile("Free now:"))
    screenshot(page, "server-options")
    page.get_by_label("CPUs").select_option("0.5")
    page.get_by_label("Memory").select_option("1G")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(f"{service.config.public_url}/user/ada/lab**", timeout=60_000)

    people.start_anew(page, service, "ada")
    _see_workarea(page)
    people.run_cell(
        page,
        "from pathlib import Path\n"
        "path = Path('/workarea/cloud_storage/ada/first.txt')\n"
        "print(path.write_text('written in a notebook'))",
        "21",
    )
    screenshot(page, "notebook", phone=False)
    store = object_store(service, "ada")
    wait_for(lambda: store.read("ada", "first.txt") == b"written in a notebook", 60, "the upload")
    environment = service.container("ada").attrs["Config"]["Env"]
    assert "CPU_LIMIT=0.5" in environment
    assert f"MEM_LIMIT={2**30}" in environment


def _see_workarea(page: Page) -> None:
    listing = page.locator(".jp-DirListing-content")
    for name in ("cloud_storage", "local", "examples"):
        expect(listing.get_by_text(name, exact=True)).to_be_visible(timeout=60_000)


def test_the_second_person_works_beside_the_first(service: Service, person: Person) -> None:
    page = person().new_page()
    people.log_in(page, service, "bob")
    people.authorize(page)
    people.start_server(page, service, "bob")
    people.start_anew(page, service, "bob")
    people.run_cell(
        page,
        "import os\nprint(sorted(os.listdir('/workarea/cloud_storage')))",
        "['bob', 'scratch']",
    )


def test_who_logs_out_may_do_so_at_the_provider_too(service: Service, person: Person) -> None:
    page = person().new_page()
    people.log_in(page, service, "bob")
    people.authorize(page)
    page.wait_for_url(re.compile("/user/bob/|/hub/spawn"))
    page.goto(f"{service.config.public_url}/hub/home")
    logout = page.get_by_role("button", name="Log out", exact=True)
    logout.click()
    page.get_by_role("link", name="Log in").click()
    logout.click()
    page.get_by_role("link", name="Log out there, too").click()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()


@pytest.mark.parametrize("username", ["ada", "nobody-here"])
def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    service: Service, person: Person, username: str
) -> None:
    page = person().new_page()
    people.log_in(page, service, username, "not-the-password")
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Wrong username or password")
    expect(page.locator("main")).to_contain_text(f"Not registered? Ask {service.config.contact}")


def test_the_hubs_pages_keep_nobody_out(service: Service, person: Person) -> None:
    """The form and the pending page are looked at in test_waiting, files in test_files_browser."""
    page = person().new_page()
    page.goto(service.config.public_url)
    assert barriers(page) == []
    people.log_in(page, service, "bob")
    people.authorize(page)
    for path in ("home", "token", "no-such-page"):
        page.goto(f"{service.config.public_url}/hub/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        assert barriers(page) == [], path


def test_a_link_fills_in_the_form_and_starts_nothing(
    service: Service, person: Person, hub: Hub
) -> None:
    """Whoever made the link must not choose what runs with somebody else's files."""
    page = person().new_page()
    _choose(page, service, hub, "bob")
    files = page.get_by_role("link", name="browse it here")
    expect(files).to_have_attribute("href", "/services/files/")
    page.goto(f"{service.config.public_url}/hub/spawn?own_image=evil/image:1&cpu=0.5&memory=1G")
    expect(page.get_by_text("Nothing has started")).to_be_visible()
    expect(page.get_by_label("Image reference")).to_have_value("evil/image:1")
    expect(page.get_by_label("CPUs")).to_have_value("0.5")
    assert not hub.running("bob")


def _choose(page: Page, service: Service, hub: Hub, username: str) -> None:
    """Come in to the server options."""
    people.log_in(page, service, username)
    people.authorize(page)
    if hub.running(username):
        hub.stop(username)
    page.goto(f"{service.config.public_url}/hub/spawn")
    expect(page.get_by_role("heading", name="Server options")).to_be_visible()


def test_an_image_is_checked_while_it_is_typed(
    service: Service, person: Person, screenshot: Screenshot
) -> None:
    page = person().new_page()
    people.log_in(page, service, "bob")
    people.authorize(page)
    expect(page.get_by_role("heading", name="Server options")).to_be_visible()
    if not page.get_by_label("Image reference").is_visible():  # it is, after an own image
        page.get_by_text("Use my own image").click()
    reference = page.get_by_label("Image reference")
    reference.fill("NOT an image!")
    said = page.locator("#own-image-check")
    expect(said).to_contain_text("is not an image: use a name of the catalogue")
    expect(reference).to_have_attribute("aria-invalid", "true")
    screenshot(page, "own-image")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(f"{service.config.public_url}/hub/spawn")
    reference.fill("127.0.0.1:1/not/there:1")  # of no registry that is asked before the start
    expect(said).to_contain_text("its registry is asked only when the server starts")
    expect(reference).to_have_attribute("aria-invalid", "false")
    reference.fill(service.config.servers.images[0].reference)
    expect(said).to_have_text("This image is in the catalogue.")
    reference.fill("")
    expect(said).to_be_empty()


def test_what_was_asked_stays_in_the_form_without_scripts(
    service: Service, person: Person, hub: Hub
) -> None:
    page = person().new_page()
    page.route("**/quaderno/static/own_image.js*", lambda route: route.abort())
    _choose(page, service, hub, "bob")
    if not page.get_by_label("Image reference").is_visible():  # it is, after an own image
        page.get_by_text("Use my own image").click()
    page.get_by_label("Image reference").fill("NOT an image!")
    page.get_by_label("Memory").select_option("1G")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text(
        "is not an image: use a name of the catalogue"
    )
    expect(page.get_by_role("alert")).not_to_contain_text("Exception")
    expect(page.get_by_label("Image reference")).to_have_value("NOT an image!")
    expect(page.get_by_label("Memory")).to_have_value("1G")


def test_without_consent_nobody_comes_in(service: Service, person: Person) -> None:
    password = "a-singular-garden-gnome-77"
    email = service.register("carol", password)
    page = person().new_page()
    people.log_in(page, service, email, password)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("main")).to_contain_text("You did not authorize Quaderno")


def test_the_pending_page_shows_the_steps_of_a_start(
    service: Service, person: Person, screenshot: Screenshot
) -> None:
    page = person().new_page()
    people.log_in(page, service, "carol", "a-singular-garden-gnome-77")
    people.authorize(page)
    agent = service.status()["agent"].pid
    assert agent is not None
    os.kill(agent, signal.SIGSTOP)
    try:
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.get_by_role("heading", name="Your server is starting")).to_be_visible()
        expect(page.locator("[data-step=image]")).to_have_attribute("data-state", "done")
        expect(page.locator("[data-step=storage]")).to_have_attribute("data-state", "running")
        expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        screenshot(page, "starting")
    finally:
        os.kill(agent, signal.SIGCONT)
    expect(page.get_by_role("heading", name="Your server is starting")).not_to_be_visible(
        timeout=60_000
    )
    expect(page.get_by_role("alert")).to_have_count(0)
    page.wait_for_url(f"{service.config.public_url}/user/carol/lab**", timeout=60_000)
