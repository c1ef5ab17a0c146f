"""The acceptable use policy: accepted once for each version."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import PASSWORD, Configure, link, new_browser
from .people import LOGIN, POLICY, accepted, ask, log_in, logged_in, manage

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.usefixtures("registration_open")


def test_the_policy_is_accepted_with_its_version(
    browser: "Client", configure: Configure, outbox: Sequence[Any]
) -> None:
    configure(registration="open", policy=POLICY)
    text = browser.get("/identity/policy/").content.decode()
    assert "<h1>Be kind</h1>" in text
    assert "&lt;b&gt;No&lt;/b&gt; mining." in text
    assert "This field is required" in ask(browser).content.decode()
    ask(browser, policy="on")
    assert accepted() == ["2026-11"]
    browser.post(link(outbox[-1]))
    manage("change_user", "approve", "grace")
    log_in(browser)
    assert logged_in(browser)


def test_a_new_version_asks_again_at_the_next_login(
    browser: "Client", configure: Configure
) -> None:
    from quaderno.iam import accounts

    accounts.create_user("grace", PASSWORD)
    configure(policy=POLICY)
    destination = "/identity/password/"
    form = {"login": "grace", "password": PASSWORD, "next": destination}
    page = browser.post(LOGIN, form, follow=True)
    assert "version 2026-11" in page.content.decode()
    assert not logged_in(browser)
    answer = {"version": "2026-11", "action": "accept"}
    assert browser.post("/identity/policy/accept/", answer).headers["Location"] == destination
    assert logged_in(browser)
    log_in(browser := new_browser(), password=PASSWORD)
    assert logged_in(browser), "asked once for each version"

    configure(policy=POLICY | {"version": "2027-01"})
    log_in(browser := new_browser(), password=PASSWORD)
    stale = browser.post("/identity/policy/accept/", answer, follow=True)
    assert "version 2027-01" in stale.content.decode()
    assert not logged_in(browser)
    browser.post("/identity/policy/accept/", {"action": "cancel"})
    assert not logged_in(browser)
    assert accepted() == ["2026-11"]


def test_nobody_accepts_without_a_password(browser: "Client", configure: Configure) -> None:
    configure(policy=POLICY)
    answer = browser.post("/identity/policy/accept/", {"version": "2026-11", "action": "accept"})
    assert answer.headers["Location"] == LOGIN
