"""From a request for an account to the login, and the decisions on it."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from quaderno.errors import AccountError

from .conftest import PASSWORD, PASSWORD_2, Configure, link, new_browser
from .people import (
    LOGIN,
    REGISTER,
    USERS,
    ask,
    confirmed,
    log_in,
    logged_in,
    manage,
    opened,
    user,
)

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.usefixtures("registration_open")


def test_from_the_request_to_the_login(
    browser: "Client", admin: "Client", outbox: Sequence[Any]
) -> None:
    assert 'href="/identity/register/"' in browser.get(LOGIN).content.decode()
    assert "Look into your mailbox" in ask(browser).content.decode()
    assert outbox[-1].to == ["grace@example.org"]
    assert "Notes & Co" in outbox[-1].subject
    opened = browser.get(link(outbox[-1]))
    assert "Is <strong>grace@example.org</strong> yours" in opened.content.decode()
    assert "Nobody waits" in admin.get("/identity/requests/").content.decode()

    done = browser.post(link(outbox[-1]), follow=True)
    assert "An administrator decides now" in done.content.decode()
    to_admin = outbox[-1]
    assert to_admin.to == ["ada@example.org"]
    assert all(part in to_admin.body for part in ("Grace Hopper", "Compilers, with Prof. Aiken"))
    assert "Your request waits for approval" in log_in(browser).content.decode()
    assert not logged_in(browser)

    listed = admin.get(link(to_admin)).content.decode()
    assert all(part in listed for part in ("Grace Hopper", "grace@example.org", "Prof. Aiken"))
    said = admin.post("/identity/requests/grace/", {"action": "approve"}, follow=True)
    assert "grace is approved" in said.content.decode()
    assert (outbox[-1].to, "Your account is ready" in outbox[-1].subject) == (
        ["grace@example.org"],
        True,
    )
    assert "grace@example.org" in log_in(browser).content.decode()
    assert logged_in(browser)


def test_operators_approve_from_the_command_line(browser: "Client", outbox: Sequence[Any]) -> None:
    confirmed(browser, outbox)
    assert manage("change_user", "approve", "grace") == "grace is active"
    log_in(browser)
    assert logged_in(browser)


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_a_decision_and_its_message_are_kept_together(
    browser: "Client", outbox: Sequence[Any], monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """Nobody is told what did not happen, and nothing happens that is not told."""
    confirmed(browser, outbox)
    with monkeypatch.context() as broken:
        broken.setattr("quaderno.iam.mail.render_to_string", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            manage("change_user", action, "grace", "--reason=because")
    assert user().state == "waiting"
    manage("change_user", action, "grace", "--reason=because")
    assert outbox[-1].to == ["grace@example.org"]


def test_of_two_decisions_the_first_counts(browser: "Client", outbox: Sequence[Any]) -> None:
    from quaderno.iam import accounts

    confirmed(browser, outbox)
    seen_by_ada, seen_by_eve = user(), user()
    accounts.reject(seen_by_ada, "unknown here")
    with pytest.raises(AccountError, match="grace is rejected"):
        accounts.reject(seen_by_eve, "no more room")
    assert user().state_reason == "unknown here"


def test_a_rejected_person_sees_why_and_whom_to_ask(
    browser: "Client", admin: "Client", outbox: Sequence[Any]
) -> None:
    confirmed(browser, outbox)
    decide = "/identity/requests/grace/"
    silent = admin.post(decide, {"action": "reject", "reason": "  "}, follow=True)
    assert "Say why the request of grace is rejected" in silent.content.decode()
    reason = "Nobody here knows you <yet>"
    admin.post(decide, {"action": "reject", "reason": reason})
    assert reason in outbox[-1].body
    page = log_in(browser)
    assert page.status_code == 403
    assert "Nobody here knows you &lt;yet&gt;" in page.content.decode()
    assert "help@example.org" in page.content.decode()
    assert not logged_in(browser)
    assert manage("change_user", "approve", "grace") == "grace is active"


def test_a_suspended_person_is_out_at_once_and_sees_why(browser: "Client") -> None:
    from quaderno.iam import accounts

    accounts.create_user("grace", PASSWORD)
    log_in(browser, password=PASSWORD)
    assert logged_in(browser)
    assert manage("change_user", "disable", "grace", "--reason=Left the institute") == (
        "grace is suspended"
    )
    assert not logged_in(browser)
    assert "Left the institute" in log_in(browser, password=PASSWORD).content.decode()
    assert not logged_in(browser)
    manage("change_user", "enable", "grace")
    log_in(browser, password=PASSWORD)
    assert logged_in(browser)


def test_a_change_of_something_else_undoes_no_suspension() -> None:
    """Pages read the account first and store it later, as when a password is reset."""
    from quaderno.iam import accounts

    read_before = accounts.create_user("grace", PASSWORD)
    accounts.suspend(user(), "A lost laptop")
    accounts.set_password(read_before, PASSWORD_2)
    grace = user()
    assert grace.check_password(PASSWORD_2)
    assert (grace.state, grace.state_reason) == ("suspended", "A lost laptop")
    assert not grace.is_active


def test_administrators_suspend_on_their_pages(browser: "Client", admin: "Client") -> None:
    from quaderno.iam import accounts

    grace = accounts.create_user("grace", PASSWORD)
    for reason in ("A lost laptop", "Two of them"):
        form = opened(admin, grace) | {"state": "suspended", "state_reason": reason}
        assert admin.post(f"{USERS}{grace.pk}/change/", form).status_code == 302
        assert reason in log_in(browser, password=PASSWORD).content.decode()


@pytest.mark.parametrize(
    ("action", "state", "says"),
    [
        ("approve", "active", "grace is active"),
        ("reject", "active", "grace is active"),
        ("enable", "active", "grace is active"),
        ("disable", "waiting", "grace is waiting for approval"),
        ("approve", "waiting", "has not confirmed their e-mail address"),
        ("approve", "suspended", "grace is suspended"),
    ],
)
def test_decisions_that_do_not_fit_are_refused(action: str, state: str, says: str) -> None:
    from quaderno.iam import accounts

    grace = accounts.create_user("grace", PASSWORD)
    grace.state = state
    grace.save(update_fields=["state"])
    with pytest.raises(AccountError, match=says):
        manage("change_user", action, "grace", "--reason=because")
    assert user().state == state


def test_a_rejection_on_the_command_line_needs_a_reason_and_a_person() -> None:
    from quaderno.iam import accounts

    accounts.create_user("grace", PASSWORD)
    with pytest.raises(AccountError, match="no reason"):
        manage("change_user", "disable", "grace")
    with pytest.raises(AccountError, match="There is no account 'nobody'"):
        manage("change_user", "disable", "nobody", "--reason=x")


def test_closed_means_closed(
    browser: "Client", configure: Configure, outbox: Sequence[Any]
) -> None:
    configure(registration="closed")
    assert REGISTER not in browser.get(LOGIN).content.decode()
    assert "Accounts are given by the operators" in ask(browser).content.decode()
    assert not outbox


# --- names


@pytest.mark.parametrize(
    "name", ["ada", "local", "commons", "Grace", "gräce", "g", "a.b", "\u0430da"]
)
def test_a_name_that_cannot_be_is_refused_with_a_sentence(
    browser: "Client", admin: "Client", outbox: Sequence[Any], name: str
) -> None:
    """Taken, reserved, or no name of a bucket: the last begins with a Cyrillic letter."""
    from quaderno.iam.models import User

    page = ask(browser, username=name).content.decode()
    taken = "This username is taken." if name == "ada" else ""
    reserved = "This name is reserved." if name in ("local", "commons") else ""
    assert (taken or reserved or "A username has 3 to 40 characters") in page
    assert User.objects.count() == 1
    assert not outbox


@pytest.mark.parametrize("twin", ["ADA@example.org", "Ada@EXAMPLE.org"])
def test_an_address_that_is_taken_gets_a_message_and_the_page_tells_nothing(
    browser: "Client", admin: "Client", outbox: Sequence[Any], twin: str
) -> None:
    taken = ask(browser, email=twin)
    free = ask(new_browser(), username="hedy", email="hedy@example.org")
    assert taken.content == free.content
    assert taken.redirect_chain == free.redirect_chain
    assert [message.to for message in outbox] == [["ada@example.org"], ["hedy@example.org"]]
    assert "You have an account already" in outbox[0].subject
    from quaderno.iam.models import User

    assert not User.objects.filter(username="grace").exists()


def test_a_request_that_nobody_confirms_frees_its_name(
    browser: "Client", outbox: Sequence[Any]
) -> None:
    ask(browser)
    assert "This username is taken." in ask(new_browser(), email="b@example.org").content.decode()
    first = user()
    first.date_joined -= timedelta(days=4)
    first.save()
    ask(new_browser(), email="b@example.org")
    assert user().email == "b@example.org"


LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("was", [{}, {"request_reason": "Compilers", "last_login": LONG_AGO}])
def test_who_did_not_ask_or_was_in_is_never_forgotten(was: dict[str, Any]) -> None:
    """Their name is their storage's."""
    from quaderno.iam import accounts
    from quaderno.iam.models import User

    User.objects.create(username="grace", state="waiting", date_joined=LONG_AGO, **was)
    accounts.forget_unconfirmed()
    assert User.objects.filter(username="grace").exists()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("password1", "grace-hopper", "You must type the same password"),
        ("reason", "", "This field is required"),
        ("email", "grace", "Enter a valid email address"),
    ],
)
def test_what_is_missing_is_said_at_its_place(
    browser: "Client", field: str, value: str, says: str
) -> None:
    assert says in ask(browser, **{field: value}).content.decode()


def test_passwords_follow_the_rule(browser: "Client") -> None:
    page = ask(browser, password1="grace@example", password2="grace@example").content.decode()
    assert "too similar to the" in page


# --- links in messages


def test_a_link_works_once(browser: "Client", outbox: Sequence[Any]) -> None:
    path = confirmed(browser, outbox)
    for use in (browser.get, browser.post, new_browser().post):
        page = use(path)
        assert "of no use any more" in page.content.decode() or page.status_code == 404


def test_a_link_does_not_log_in(browser: "Client", outbox: Sequence[Any]) -> None:
    confirmed(browser, outbox)
    manage("change_user", "approve", "grace")
    assert not logged_in(browser)


def test_opening_a_link_confirms_nothing(browser: "Client", outbox: Sequence[Any]) -> None:
    """Scanners of mail servers open links, too."""
    ask(browser)
    browser.get(link(outbox[-1]))
    with pytest.raises(AccountError, match="has not confirmed"):
        manage("change_user", "approve", "grace")
    assert "\tunconfirmed" in manage("list_users")
    browser.post(link(outbox[-1]))
    assert "\twaiting" in manage("list_users")


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/"])
def test_a_link_leads_nowhere_else(
    browser: "Client", outbox: Sequence[Any], elsewhere: str
) -> None:
    ask(browser)
    done = browser.post(f"{link(outbox[-1])}?next={elsewhere}")
    assert done.headers["Location"] == "/identity/register/requested/"


def test_the_link_is_sent_again_when_one_logs_in(browser: "Client", outbox: Sequence[Any]) -> None:
    from django.core.cache import cache

    ask(browser)
    cache.clear()  # the library sends one in three minutes
    assert "Look into your mailbox" in log_in(new_browser()).content.decode()
    assert len(outbox) == 2
