"""What somebody may try who is not who they say, or not allowed to."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import PASSWORD, Configure, new_browser
from .people import POLICY, ask, confirmed, log_in, logged_in, user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.usefixtures("registration_open")


@pytest.mark.parametrize("who", ["nobody", "somebody"])
def test_only_administrators_decide(browser: "Client", outbox: Sequence[Any], who: str) -> None:
    from quaderno.iam import accounts

    confirmed(browser, outbox)
    if who == "somebody":
        browser.force_login(accounts.create_user("eve", PASSWORD))
    for path in ("/identity/requests/", "/identity/requests/grace/"):
        answer = browser.post(path, {"action": "approve"})
        assert answer.status_code == (403 if who == "somebody" else 302)
    assert user().state == "waiting"


def test_a_decision_is_not_a_link(
    browser: "Client", admin: "Client", outbox: Sequence[Any]
) -> None:
    confirmed(browser, outbox)
    assert admin.get("/identity/requests/grace/?action=approve").status_code == 405
    assert user().state == "waiting"


def test_a_request_cannot_choose_its_rights(browser: "Client", outbox: Sequence[Any]) -> None:
    confirmed(browser, outbox, state="active", is_superuser="on", is_staff="on", groups="1")
    grace = user()
    assert (grace.state, grace.is_superuser, grace.is_staff) == ("waiting", False, False)
    assert grace.group_names() == []


def test_a_login_gets_a_session_of_its_own(
    browser: "Client", admin: "Client", configure: Configure, config: Any
) -> None:
    """One that somebody else gave the browser stays outside, also through the policy's page."""
    name = f"{config.instance}-iam-session"
    ask(browser)  # leaves a session
    planted = browser.cookies[name].value
    configure(registration="open", policy=POLICY)
    log_in(browser, "ada", PASSWORD)
    browser.post("/identity/policy/accept/", {"version": "2026-11", "action": "accept"})
    assert logged_in(browser)
    assert browser.cookies[name].value != planted
    thief = new_browser()
    thief.cookies[name] = planted
    assert not logged_in(thief)


def test_every_form_needs_its_token(
    configure: Configure, for_all_pages: Callable[..., list[str]]
) -> None:
    configure(registration="open", policy=POLICY)
    strict = new_browser(enforce_csrf_checks=True)
    refused = {path: strict.post(path).status_code for path in for_all_pages()}
    assert len(refused) > 12
    assert set(refused.values()) == {403}, refused
