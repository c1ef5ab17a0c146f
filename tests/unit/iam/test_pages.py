"""The pages, as a browser gets them."""

import re
from typing import TYPE_CHECKING, Any

import pytest

from quaderno.config import Config

from .conftest import HOST, PASSWORD

if TYPE_CHECKING:
    from django.test import Client

    from quaderno.iam.models import User


@pytest.fixture
def ada() -> "User":
    from quaderno.iam import accounts

    return accounts.create_user(
        "ada", PASSWORD, email="ada@example.org", groups=["/dev/ml"], admin=True
    )


@pytest.fixture
def logged_in(browser: "Client", ada: "User") -> "Client":
    browser.force_login(ada)
    return browser


def test_the_root_leads_to_the_login_page_and_back(browser: "Client", ada: "User") -> None:
    page = browser.get("/", follow=True)
    assert page.redirect_chain[-1][0] == "/identity/login/?next=/identity/"
    text = page.content.decode()
    assert "Notes &amp; Co" in text
    assert 'href="mailto:help@example.org"' in text
    form = {"login": "ada", "password": PASSWORD, "next": "/identity/"}
    account = browser.post("/identity/login/", form, follow=True).content.decode()
    assert all(part in account for part in ("ada@example.org", "/dev/ml", "/quaderno/admins"))


@pytest.mark.usefixtures("ada")
def test_the_keyboard_is_where_something_is_to_be_typed(browser: "Client") -> None:
    def focused(page: Any) -> list[str]:
        inputs = re.findall(r"<input [^>]*>", page.content.decode())
        return [re.findall(r'name="(\w+)"', each)[0] for each in inputs if "autofocus" in each]

    assert focused(browser.get("/identity/login/")) == ["login"]
    wrong = browser.post("/identity/login/", {"login": "ada", "password": "not-this-one"})
    assert focused(wrong) == ["password"]
    assert b'value="ada"' in wrong.content


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", f"http://{HOST}/"]
)
def test_a_login_leads_to_our_own_pages_only(
    browser: "Client", ada: "User", elsewhere: str
) -> None:
    form = {"login": "ada", "password": PASSWORD, "next": elsewhere}
    assert browser.post("/identity/login/", form).headers["Location"] == "/identity/"


@pytest.mark.parametrize("path", ["logout", "reauthenticate", "register", "email", "reset"])
@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example/", "/\\evil.example"]
)
def test_no_form_leads_elsewhere(
    logged_in: "Client", ada: "User", path: str, elsewhere: str
) -> None:
    logged_in.post("/identity/reauthenticate/", {"password": PASSWORD})
    form = {"password": PASSWORD, "email": "ada@example.org", "next": elsewhere}
    for address in (f"/identity/{path}/", f"/identity/{path}/?next={elsewhere}"):
        answer = logged_in.post(address, form)
        assert "evil.example" not in answer.headers.get("Location", "")


def test_pages_are_confined(browser: "Client") -> None:
    page = browser.get("/identity/login/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "form-action 'self' http://127.0.0.1:8000" in policy
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert "no-store" in page.headers["Cache-Control"]
    assert not re.search(r"<script|<style|style=|\son\w+=", page.content.decode())


def test_cookies_are_strict_and_stay_off_the_servers_paths(
    browser: "Client", ada: "User", config: Config
) -> None:
    browser.post("/identity/login/", {"login": "ada", "password": PASSWORD})
    cookie = browser.cookies[f"{config.instance}-iam-session"]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"]) == ("Lax", "/identity/")


def test_forms_need_their_token(ada: "User") -> None:
    from django.test import Client

    strict = Client(enforce_csrf_checks=True, headers={"Host": HOST})
    page = strict.post("/identity/login/", {"login": "ada", "password": PASSWORD})
    assert page.status_code == 403
    assert "This form is too old" in page.content.decode()


def test_changing_the_password(logged_in: "Client", ada: "User") -> None:
    form = {"oldpassword": "wrong", "password1": "brass lantern 9", "password2": "brass lantern 9"}
    page = logged_in.post("/identity/password/", form).content.decode()
    assert "This is not your current password." in page
    done = logged_in.post("/identity/password/", form | {"oldpassword": PASSWORD}, follow=True)
    assert "Your password is changed." in done.content.decode()
    ada.refresh_from_db()
    assert ada.check_password("brass lantern 9")


def test_logging_out_takes_a_click(logged_in: "Client") -> None:
    assert "Log out?" in logged_in.get("/identity/logout/").content.decode()
    done = logged_in.post("/identity/logout/", follow=True)
    assert "You are logged out." in done.content.decode()
    assert logged_in.get("/identity/").status_code == 302


@pytest.mark.parametrize(
    "path",
    [
        "/identity/o/api/clients",
        "/admin/",
        "/nothing",
    ],
)
def test_nothing_else_is_open(logged_in: "Client", path: str) -> None:
    page = logged_in.get(path)
    assert page.status_code == 404
    assert "There is no such page" in page.content.decode()


def test_a_foreign_host_is_refused(browser: "Client") -> None:
    page = browser.get("/identity/login/", headers={"Host": "evil.example"})
    assert page.status_code == 400
    assert "not understood" in page.content.decode()


def test_links_do_not_depend_on_the_host_header(browser: "Client") -> None:
    host = {"Host": "127.0.0.1:9", "X-Forwarded-Host": "evil.example"}
    metadata = browser.get("/.well-known/openid-configuration", headers=host).json()
    assert metadata["issuer"] == "http://127.0.0.1:8001"
    assert metadata["token_endpoint"].startswith("http://127.0.0.1:8001/")


def test_a_bug_has_a_page_too(browser: "Client", monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bool:
        raise RuntimeError("broken")

    monkeypatch.setattr("django.db.models.query.QuerySet.exists", broken)
    page = browser.get("/healthz")
    assert page.status_code == 500
    assert "Something broke here" in page.content.decode()


def test_health_is_the_databases(browser: "Client", monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import DatabaseError

    def broken(*_: Any) -> bool:
        raise DatabaseError("disk I/O error")

    assert browser.get("/healthz").status_code == 200
    monkeypatch.setattr("django.db.models.query.QuerySet.exists", broken)
    assert browser.get("/healthz").status_code == 503


def test_static_files_need_no_collecting(browser: "Client") -> None:
    style = browser.get("/static/quaderno/iam.css")
    assert style.headers["Content-Type"].startswith("text/css")
    assert b"prefers-color-scheme: dark" in b"".join(style)
    style.close()
