"""A new password, by a link or from an operator."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from quaderno.config import Config
from quaderno.errors import AccountError

from .conftest import PASSWORD, PASSWORD_2, link, new_browser
from .people import confirmed, log_in, logged_in, manage, user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.usefixtures("registration_open")


def reset(browser: "Client", email: str) -> Any:
    return browser.post("/identity/reset/", {"email": email}, follow=True)


def test_a_forgotten_password(browser: "Client", admin: "Client", outbox: Sequence[Any]) -> None:
    reset(browser, "ada@example.org")
    path = link(outbox[-1])
    form = browser.get(path, follow=True)
    target = form.redirect_chain[-1][0]
    assert path not in target
    new = {"password1": PASSWORD_2, "password2": PASSWORD_2}
    assert "Your password is changed" in browser.post(target, new, follow=True).content.decode()
    assert not logged_in(browser)
    assert not logged_in(admin), "what was open with the old password is closed"
    log_in(browser, "ada")
    assert logged_in(browser)
    again = new_browser().get(path, follow=True)
    assert "of no use any more" in again.content.decode()


def test_asking_for_a_password_tells_nothing(
    browser: "Client", admin: "Client", outbox: Sequence[Any]
) -> None:
    known, unknown = reset(browser, "ada@example.org"), reset(new_browser(), "no@example.org")
    assert known.content == unknown.content
    assert "No account has this address" in outbox[-1].subject


def test_who_waits_gets_no_new_password(browser: "Client", outbox: Sequence[Any]) -> None:
    confirmed(browser, outbox)
    reset(browser, "grace@example.org")
    assert "/identity/reset/" not in outbox[-1].body
    assert "none that can log in" in outbox[-1].body


def test_operators_give_a_new_password(
    browser: "Client", admin: "Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD_2}\n"))
    assert manage("set_password", "ada", "--password-stdin") == "ada has a new password"
    assert not logged_in(admin)
    log_in(browser, "ada")
    assert logged_in(browser)
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    with pytest.raises(AccountError, match="too short"):
        manage("set_password", "ada", "--password-stdin")


def test_messages_to_one_address_are_rare(
    browser: "Client", admin: "Client", outbox: Sequence[Any]
) -> None:
    answers = [reset(browser, "ada@example.org").status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]
    assert len(outbox) == 3


# --- what applications hold

NEW = {"password1": PASSWORD_2, "password2": PASSWORD_2}
ADMIN_PAGE = "/identity/admin/iam/user/{}/password/"


@pytest.mark.parametrize(
    ("page", "form"),
    [
        ("/identity/password/", NEW | {"oldpassword": PASSWORD}),
        (ADMIN_PAGE, NEW | {"usable_password": "true"}),
        (ADMIN_PAGE, {"usable_password": "false", "unset-password": "1"}),
    ],
)
def test_a_new_password_ends_what_applications_hold(
    admin: "Client", config: Config, page: str, form: dict[str, str]
) -> None:
    """Whoever knew the old one may have let an application in."""
    from allauth.idp.oidc.models import Token

    ada = user("ada")
    Token.objects.create(type="rt", hash="x", client_id=config.oidc.client_id, user=ada)
    admin.post(page.format(ada.pk), {"password1": "short", "password2": "short"})
    assert Token.objects.filter(user=ada).exists()
    assert admin.post(page.format(ada.pk), form).status_code == 302
    assert not user("ada").check_password(PASSWORD)
    assert not Token.objects.filter(user=ada).exists()
