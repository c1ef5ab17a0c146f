"""Passkeys in a real browser, with an authenticator of the browser's own."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.chromium import CHROMIUM
from tests.conftest import PATIENCE
from tests.contract.identity_fixtures import PASSWORD, Provider, running_provider


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """By a name: passkeys are bound to one."""
    with running_provider(tmp_path_factory.mktemp("passkeys"), "localhost") as provider:
        yield provider


@pytest.fixture
def page() -> Iterator[Page]:
    """A browser with a key that says yes, to whoever holds it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"]
        )
        page = browser.new_page()
        page.set_default_timeout(PATIENCE)
        key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True}
        key |= {"hasUserVerification": True, "isUserVerified": True}
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        session.send("WebAuthn.addVirtualAuthenticator", {"options": key})
        yield page
        browser.close()


def log_in(page: Page, provider: Provider) -> None:
    page.goto(f"{provider.config.iam_url}/")
    page.get_by_label("Username or e-mail address").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()


def use_key(page: Page, button: str) -> None:
    """Before its scripts have come, which are the last of it, the page shows the button already."""
    expect(page.get_by_role("button", name=button)).to_be_visible()
    page.wait_for_load_state()
    page.get_by_role("button", name=button).click()


def log_out(page: Page, provider: Provider) -> None:
    page.goto(f"{provider.config.iam_url}/")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()


def test_a_passkey_logs_in_and_is_a_second_step_and_can_be_removed(
    provider: Provider, page: Page
) -> None:
    log_in(page, provider)
    page.get_by_role("link", name="Second step at login").click()
    page.get_by_role("link", name="Add one").click()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("Log in with it alone").check()
    use_key(page, "Add it")
    expect(page.get_by_text("Each lets you in once")).to_be_visible()

    log_out(page, provider)
    use_key(page, "Log in with a passkey")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()

    log_out(page, provider)
    log_in(page, provider)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    use_key(page, "Use a passkey")
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()

    page.get_by_role("link", name="Second step at login").click()
    page.get_by_role("link", name="See them").first.click()
    page.get_by_role("link", name="Remove").click()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("None yet.")).to_be_visible()
    log_out(page, provider)
    log_in(page, provider)
    expect(page.get_by_role("heading", name="Your account")).to_be_visible()


def test_a_browser_without_the_key_says_so(provider: Provider, page: Page) -> None:
    """And no script of the page is refused by its own policy."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(f"{provider.config.iam_url}/")
    use_key(page, "Log in with a passkey")
    expect(page.get_by_role("alert")).to_contain_text("The key did not answer as it should")
    assert not [text for text in complaints if "Content Security Policy" in text]
