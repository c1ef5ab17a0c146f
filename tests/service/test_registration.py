"""From somebody whom nobody knows to their first server, in a real browser."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.service import people
from tests.service.running import Service, running_service, wait_for

Person = Callable[[], BrowserContext]
Screenshot = Callable[..., None]

POLICY = """\
## Acceptable use

- Compute for the purpose that you were given the account for.
- Keep your password to yourself.
- What you do here is logged.
"""
PASSWORD = "a-nanosecond-of-wire-1952"
ADMIN = ("root-admin", "a-bunch-of-heavy-keys-1970")


@pytest.fixture(scope="module")
def service(container_engine: None) -> Iterator[Service]:
    """An instance of its own, where people may register."""
    policy = {"text": POLICY, "version": "2026-11"}
    with running_service(iam={"registration": "open", "policy": policy}) as service:
        name, password = ADMIN
        email = ["--email", "admin@example.org", "--admin", "--password-stdin"]
        service.quaderno("user", "add", name, *email, text=password + "\n")
        yield service


def mailed_link(service: Service, to: str) -> str:
    """The link in the last message to an address."""

    def found() -> str | None:
        messages = sorted((service.config.dir / "iam" / "mail").glob("*"), reverse=True)
        for message in messages:
            text = message.read_text()
            if f"To: {to}" in text and (link := re.search(r"https?://\S+/identity/\S+", text)):
                return link[0]
        return None

    return wait_for(found, 30, f"a message to {to}") or ""


def test_from_a_request_to_the_first_server(
    service: Service, person: Person, screenshot: Screenshot
) -> None:
    page = person().new_page()
    _request(page, service, screenshot)
    _approve(person().new_page(), service, screenshot)
    people.log_in(page, service, "grace", PASSWORD)
    expect(page.get_by_role("button", name="Authorize")).to_be_visible()
    screenshot(page, "authorize")
    people.authorize(page)
    people.start_server(page, service, "grace")


def _request(page: Page, service: Service, screenshot: Screenshot) -> None:
    page.goto(service.config.public_url)
    page.get_by_role("link", name="Request an account").click()
    page.get_by_label("First name").fill("Grace")
    page.get_by_label("Last name").fill("Hopper")
    page.get_by_label("E-mail address").fill("grace@example.org")
    page.get_by_label("Username").fill("grace")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password, again").fill(PASSWORD)
    page.get_by_label("What do you want the account for?").fill("Compilers, with Prof. Aiken")
    page.get_by_label("I accept").check()
    page.evaluate("window.scrollTo(0, 0)")
    screenshot(page, "register")
    page.get_by_role("button", name="Request an account").click()
    expect(page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
    page.goto(mailed_link(service, "grace@example.org"))
    page.get_by_role("button", name="Yes, confirm it").click()
    expect(page.get_by_role("heading", name="Your request is complete")).to_be_visible()
    people.log_in(page, service, "grace", PASSWORD)
    expect(page.get_by_role("heading", name="Your request waits for approval")).to_be_visible()
    screenshot(page, "waiting")


def _approve(page: Page, service: Service, screenshot: Screenshot) -> None:
    page.goto(mailed_link(service, "admin@example.org"))
    people.fill_in_login(page, *ADMIN)
    expect(page.get_by_text("What you do here is logged.")).to_be_visible()
    screenshot(page, "policy")
    page.get_by_role("button", name="I accept").click()
    expect(page.locator("main")).to_contain_text("Compilers, with Prof. Aiken")
    screenshot(page, "requests")
    page.get_by_role("button", name="Approve grace").click()
    expect(page.get_by_role("status")).to_contain_text("grace is approved")


def test_whoever_is_suspended_reads_why_on_the_way_in(service: Service, person: Person) -> None:
    service.quaderno("user", "add", "mallory", "--password-stdin", text=PASSWORD + "\n")
    said = service.quaderno("user", "disable", "mallory", "--reason", "--mined--").stdout
    assert said == "mallory is suspended\n"
    page = person().new_page()
    people.log_in(page, service, "mallory", PASSWORD)
    expect(page.get_by_role("heading", name="Your account is suspended")).to_be_visible()
    expect(page.locator("main")).to_contain_text("--mined--")
    expect(page.locator("main")).to_contain_text(service.config.contact)
