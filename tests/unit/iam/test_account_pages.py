"""One's own account: a second step, sessions, applications, another address, the end."""

import base64
import hmac
import re
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from quaderno.config import Config

from .conftest import PASSWORD, PASSWORD_2, Configure, link, new_browser

if TYPE_CHECKING:
    from django.test import Client

    from quaderno.iam.models import User

LOGIN = "/identity/login/"
SECOND = "/identity/second-step"


@pytest.fixture
def ada() -> "User":
    from quaderno.iam import accounts

    return accounts.create_user("ada", PASSWORD, email="ada@example.org", groups=["/dev/ml"])


@pytest.fixture
def here(ada: "User") -> "Client":
    """Ada's browser, logged in by password, and again just now, as for what is delicate."""
    client = log_in(new_browser())
    client.post("/identity/reauthenticate/", {"password": PASSWORD})
    return client


def log_in(browser: "Client", password: str = PASSWORD) -> "Client":
    browser.post(LOGIN, {"login": "ada", "password": password})
    return browser


def logged_in(browser: "Client") -> bool:
    return bool(browser.get("/identity/").status_code == 200)


def text(page: Any) -> str:
    return str(page.content.decode())


# --- a second step


def code(secret: str, period: int) -> str:
    """RFC 6238 with its defaults, for the period with this number counted from now."""
    counter = struct.pack(">Q", int(time.time()) // 30 + period)
    digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
    offset = digest[-1] & 15
    (value,) = struct.unpack(">I", digest[offset : offset + 4])
    return f"{(value & 0x7FFFFFFF) % 10**6:06}"


def set_up_app(here: "Client") -> str:
    """The key, once it is in use."""
    found = re.search(r"<code>([A-Z2-7]+)</code>", text(here.get(f"{SECOND}/totp/activate/")))
    assert found
    done = here.post(f"{SECOND}/totp/activate/", {"code": code(found[1], 0)}, follow=True)
    assert "Each lets you in once" in text(done)
    return found[1]


def test_a_code_is_the_second_step(here: "Client") -> None:
    secret = set_up_app(here)
    browser = log_in(new_browser())
    assert not logged_in(browser)
    step = f"{SECOND}/authenticate/"
    assert "Second step" in text(browser.get(LOGIN, follow=True))
    assert "Incorrect code." in text(browser.post(step, {"code": "000000"}))
    assert not logged_in(browser)
    browser.post(step, {"code": code(secret, 1)})
    assert logged_in(browser)


def test_a_second_step_that_is_taken_away_is_told(here: "Client", outbox: Sequence[Any]) -> None:
    set_up_app(here)
    here.post(f"{SECOND}/totp/deactivate/")
    assert "takes no code of an app any more" in outbox[-1].body
    assert logged_in(log_in(new_browser()))


def test_a_code_works_once(here: "Client") -> None:
    secret = set_up_app(here)
    once = code(secret, 1)
    for works in (True, False):
        browser = log_in(new_browser())
        browser.post(f"{SECOND}/authenticate/", {"code": once})
        assert logged_in(browser) is works


def test_a_recovery_code_works_once(here: "Client") -> None:
    set_up_app(here)
    codes = re.findall(r"<code>([0-9]{8})</code>", text(here.get(f"{SECOND}/recovery-codes/")))
    assert len(codes) == 10
    for works in (True, False):
        browser = log_in(new_browser())
        browser.post(f"{SECOND}/authenticate/", {"code": codes[0]})
        assert logged_in(browser) is works


def test_guessing_codes_is_slowed_down(here: "Client") -> None:
    secret = set_up_app(here)
    browser = log_in(new_browser())
    step = f"{SECOND}/authenticate/"
    for _ in range(5):
        browser.post(step, {"code": "000000"})
    assert "Too many failed logins" in text(browser.post(step, {"code": code(secret, 1)}))
    assert not logged_in(browser)


def test_the_second_step_comes_before_the_policy(here: "Client", configure: Configure) -> None:
    secret = set_up_app(here)
    configure(policy={"text": "Be kind", "version": "9"})
    browser = log_in(new_browser())
    answer = {"version": "9", "action": "accept"}
    assert browser.post("/identity/policy/accept/", answer).headers["Location"] == LOGIN
    browser.post(f"{SECOND}/authenticate/", {"code": code(secret, 1)})
    assert not logged_in(browser)
    browser.post("/identity/policy/accept/", answer)
    assert logged_in(browser)


def test_a_new_password_is_not_a_way_around(here: "Client", outbox: Sequence[Any]) -> None:
    set_up_app(here)
    browser = new_browser()
    browser.post("/identity/reset/", {"email": "ada@example.org"})
    target = browser.get(link(outbox[-1]), follow=True).redirect_chain[-1][0]
    browser.post(target, {"password1": PASSWORD_2, "password2": PASSWORD_2})
    assert not logged_in(log_in(browser, PASSWORD_2))


@pytest.mark.parametrize(
    "path",
    [f"{SECOND}/totp/activate/", f"{SECOND}/recovery-codes/generate/", "/identity/delete/"],
)
def test_what_is_delicate_asks_for_the_password_again(ada: "User", path: str) -> None:
    browser = log_in(new_browser())
    asked = browser.get(path, follow=True)
    assert "Confirm that it is you" in text(asked)
    done = browser.post(asked.redirect_chain[-1][0], {"password": PASSWORD})
    assert done.headers["Location"] == path


def test_passkeys_are_offered_only_where_browsers_allow_them(here: "Client") -> None:
    """The address of these tests is a number, to which no passkey can be bound."""
    assert "asskey" not in text(here.get(f"{SECOND}/"))
    assert here.get(f"{SECOND}/webauthn/add/").status_code == 404
    assert "asskey" not in text(new_browser().get(LOGIN))


# --- sessions


def test_logging_out_elsewhere(here: "Client") -> None:
    elsewhere = log_in(new_browser())
    page = here.get("/identity/sessions/")
    assert text(page).count("127.0.0.1, since") == 2
    done = here.post("/identity/sessions/", follow=True)
    assert "You are logged in here only." in text(done)
    assert logged_in(here)
    assert not logged_in(elsewhere)


# --- address and password


def test_another_address_counts_when_it_is_confirmed(
    here: "Client", ada: "User", outbox: Sequence[Any]
) -> None:
    change = {"action_add": "", "email": "lovelace@example.org"}
    page = here.post("/identity/email/", change, follow=True)
    assert "A link was sent to <strong>lovelace@example.org</strong>" in text(page)
    ada.refresh_from_db()
    assert ada.email == "ada@example.org"
    assert outbox[-1].to == ["lovelace@example.org"]
    here.post(link(outbox[-1]))
    ada.refresh_from_db()
    assert ada.email == "lovelace@example.org"
    assert outbox[-1].to == ["ada@example.org"], "the old one is told"
    assert "this one belongs to it no more" in outbox[-1].body


def test_an_address_of_somebody_else_is_neither_taken_nor_told(
    here: "Client", ada: "User", outbox: Sequence[Any]
) -> None:
    from quaderno.iam import accounts

    accounts.create_user("grace", PASSWORD, email="grace@example.org")
    pages = []
    for address in ("GRACE@example.org", "nobody@example.org"):
        page = here.post("/identity/email/", {"action_add": "", "email": address}, follow=True)
        pages.append(text(page).lower().replace(address.lower(), ""))
    assert re.sub("csrfmiddlewaretoken.*", "", pages[0]) == re.sub(
        "csrfmiddlewaretoken.*", "", pages[1]
    )
    here.post("/identity/email/", {"action_add": "", "email": "grace@example.org"})
    here.post(link(outbox[-1]))
    ada.refresh_from_db()
    assert ada.email == "ada@example.org"


def test_an_address_is_not_changed_by_whoever_finds_a_browser_open(ada: "User") -> None:
    from allauth.account.models import EmailAddress

    browser = log_in(new_browser())
    asked = browser.post("/identity/email/", {"action_add": "", "email": "eve@example.org"})
    assert asked.headers["Location"].startswith("/identity/reauthenticate/")
    assert not EmailAddress.objects.filter(email="eve@example.org").exists()


def test_a_changed_password_is_told(here: "Client", outbox: Sequence[Any]) -> None:
    form = {"oldpassword": PASSWORD, "password1": PASSWORD_2, "password2": PASSWORD_2}
    here.post("/identity/password/", form)
    assert outbox[-1].to == ["ada@example.org"]
    assert "Your password was changed" in outbox[-1].body


def test_every_notice_of_the_library_has_words() -> None:
    """Else a change would end in an error, for want of a template."""
    from pathlib import Path

    import allauth

    from quaderno.iam.adapters import NOTICES

    templates = Path(allauth.__file__).parent / "templates"
    told = [
        path.name.removesuffix("_message.txt")
        for app in ("account", "mfa")
        for path in (templates / app / "email").glob("*_message.txt")
        if "base_notification" in path.read_text()
    ]
    assert told
    assert set(told) <= set(NOTICES)


# --- applications


def test_what_was_authorized_is_listed_and_revoked(
    here: "Client", ada: "User", config: Config
) -> None:
    from allauth.idp.oidc.models import Token

    from quaderno.iam import authorization

    authorization.remember(ada, config.oidc.client_id, ["openid", "groups"])
    Token.objects.create(type="rt", hash="x", client_id=config.oidc.client_id, user=ada)
    page = text(here.get("/identity/applications/"))
    assert "Notes &amp; Co" in page
    assert "See your groups" in page
    assert "See your e-mail address" not in page
    done = here.post("/identity/applications/", {"client": config.oidc.client_id}, follow=True)
    assert "None." in text(done)
    assert authorization.given(ada, config.oidc.client_id) == []
    assert not Token.objects.filter(user=ada).exists()


def test_nobody_revokes_for_somebody_else(here: "Client", config: Config) -> None:
    from quaderno.iam import accounts, authorization

    grace = accounts.create_user("grace", PASSWORD)
    authorization.remember(grace, config.oidc.client_id, ["openid"])
    here.post("/identity/applications/", {"client": config.oidc.client_id, "user": "grace"})
    assert authorization.given(grace, config.oidc.client_id) == ["openid"]


# --- the end


def test_deleting_the_account(here: "Client", ada: "User") -> None:
    from allauth.account.models import EmailAddress

    from quaderno.errors import AccountError
    from quaderno.iam import accounts, mail
    from quaderno.iam.models import Message

    set_up_app(here)
    mail.send("changed", ada.email, what="Something was changed")
    elsewhere = new_browser()
    elsewhere.force_login(ada)
    page = text(here.get("/identity/delete/"))
    assert "Your files are not deleted by this." in page
    kept = here.post("/identity/delete/", {"username": "eve"}, follow=True)
    assert "Nothing is deleted." in text(kept)
    gone = here.post("/identity/delete/", {"username": "ada"}, follow=True)
    assert "Your account is deleted" in text(gone)
    assert not logged_in(here)
    assert not logged_in(elsewhere)
    assert "Wrong username or password" in text(
        new_browser().post(LOGIN, {"login": "ada", "password": PASSWORD})
    )
    ada.refresh_from_db()
    assert (ada.state, ada.email, ada.get_full_name(), ada.group_names()) == ("deleted", "", "", [])
    assert not EmailAddress.objects.filter(user=ada).exists()
    assert not Message.objects.filter(to="ada@example.org").exists(), "nothing waits for them"
    with pytest.raises(AccountError, match="exists already"):
        accounts.create_user("ada", PASSWORD)


def test_the_last_administrator_stays(here: "Client", ada: "User") -> None:
    ada.is_superuser = True
    ada.save()
    kept = here.post("/identity/delete/", {"username": "ada"}, follow=True)
    assert "ada is the only administrator." in text(kept)
    assert logged_in(here)
