"""What a person does with the service, in a real browser."""

import re

from playwright.sync_api import Page, expect

from tests.service.running import PASSWORDS, Service


def log_in(page: Page, service: Service, username: str, password: str | None = None) -> None:
    """From the endpoint through the identity provider's login page."""
    page.goto(service.config.public_url)
    expect(page).to_have_url(re.compile(re.escape(service.config.iam_url)))
    fill_in_login(page, username, password or PASSWORDS[username])


def fill_in_login(page: Page, username: str, password: str) -> None:
    """On the identity provider's login page."""
    page.get_by_label("Username or e-mail address").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def authorize(page: Page) -> None:
    """Agree to tell the service who one is, where that is asked: answers are remembered."""
    page.wait_for_url(lambda url: "/identity/login/" not in url)
    if page.get_by_role("button", name="Authorize").is_visible():
        page.get_by_role("button", name="Authorize").click()


def come_in(page: Page, service: Service, username: str, password: str) -> None:
    """As far as the server options, whether or not consent is asked for on the way."""
    log_in(page, service, username, password)
    consent = page.get_by_role("button", name="Authorize")
    options = page.get_by_role("heading", name="Server options")
    expect(consent.or_(options)).to_be_visible(timeout=60_000)
    if consent.is_visible():
        authorize(page)
    expect(options).to_be_visible(timeout=60_000)


def start_server(page: Page, service: Service, username: str) -> None:
    """From the server options to JupyterLab."""
    expect(page.get_by_role("heading", name="Server options")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(f"{service.config.public_url}/user/{username}/lab**", timeout=60_000)
    expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=60_000)


def start_anew(page: Page, service: Service, username: str, directory: str = "") -> None:
    """Close the tabs of earlier tests, which follow a person into every server."""
    lab = f"{service.config.public_url}/user/{username}/lab"
    page.goto(f"{lab}/tree/{directory}?reset" if directory else f"{lab}?reset")
    page.wait_for_url(re.compile(r"^[^?]*$"))


def run_cell(page: Page, code: str, output: str) -> None:
    """Run `code` in a new notebook and wait for `output`."""
    page.locator(".jp-LauncherCard[data-category='Notebook']").first.click(timeout=60_000)
    idle = page.get_by_role("button", name="Python 3 (ipykernel) | Idle")
    expect(idle).to_be_visible(timeout=60_000)
    cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first
    cell.click()
    page.keyboard.insert_text(code)
    expect(cell).to_contain_text(code.splitlines()[-1])
    page.keyboard.press("Shift+Enter")
    expect(page.locator(".jp-OutputArea-output").first).to_contain_text(output, timeout=60_000)
