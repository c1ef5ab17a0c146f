"""The embedded identity provider, as the hub and a browser meet it: OpenID Connect over HTTP."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.identity_fixtures import (
    PASSWORD,
    SCOPES,
    Browser,
    Provider,
    Request,
    answer,
    consent_page,
    get,
    post,
)


def test_discovery_names_the_issuer_and_endpoints_below_it(provider: Provider) -> None:
    metadata = provider.metadata
    assert metadata["issuer"] == provider.config.issuer
    endpoints = [value for key, value in metadata.items() if key.endswith(("_endpoint", "_uri"))]
    assert len(endpoints) >= 5
    assert all(endpoint.startswith(f"{provider.config.issuer}/") for endpoint in endpoints)
    assert set(SCOPES.split()) <= set(metadata["scopes_supported"])
    assert "S256" in metadata["code_challenge_methods_supported"]


def test_consent_says_who_asks_for_what(browser: Browser, request_: Request) -> None:
    page = consent_page(browser, request_.url())
    assert "Authorize Quaderno" in page.text
    assert "See your groups" in page.text
    # Chromium holds the redirect that answers the form against this policy.
    origin = request_.provider.config.public_url
    assert f"form-action 'self' {origin}" in page.headers["content-security-policy"]


def test_tokens_carry_what_the_hub_and_the_store_need(
    provider: Provider, request_: Request, tokens: dict[str, Any]
) -> None:
    assert tokens["expires_in"] == 3600
    assert tokens["refresh_expires_in"] == pytest.approx(30 * 24 * 3600, abs=60)
    access, identity = (provider.claims(tokens[name]) for name in ("access_token", "id_token"))
    for claims in (access, identity):
        assert claims["preferred_username"] == "ada"
        assert claims["groups"] == ["/dev/ml"]
    assert access["exp"] - access["iat"] == 3600
    assert access["sub"] == identity["sub"]
    assert identity["nonce"] == request_.nonce
    assert identity["email"] == "ada@example.org"
    assert identity["email_verified"] is True


def test_a_program_without_a_browser(provider: Provider, browser: Browser) -> None:
    """The device flow, with requests such as oidc-agent's."""
    assert provider.manage("change_client", "add", "oidc-agent").returncode == 0
    asked = {"client_id": "oidc-agent", "scope": "openid profile offline_access"}
    device = post(provider.metadata["device_authorization_endpoint"], data=asked).json()
    browser.submit(browser.visit(f"{browser.origin}/"), login="ada", password=PASSWORD)
    page = browser.visit(device["verification_uri_complete"])
    assert f"shows the code <strong>{device['user_code']}</strong>" in page.text
    origin, browser.origin = browser.origin, "https://evil.example"
    assert browser.submit(page, action="confirm").status_code == 403
    browser.origin = origin
    assert "is authorized" in browser.submit(page, action="confirm").text
    endpoint, who = provider.metadata["token_endpoint"], ("oidc-agent", "")
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}
    form["device_code"] = device["device_code"]
    tokens = post(endpoint, data=form, auth=who).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    found = get(provider.metadata["userinfo_endpoint"], headers=bearer).json()
    assert found["preferred_username"] == "ada"
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert post(endpoint, data=form, auth=(provider.config.oidc.client_id, "")).is_error
    assert post(endpoint, data=form, auth=who).status_code == 200


def test_userinfo(provider: Provider, tokens: dict[str, Any]) -> None:
    endpoint = provider.metadata["userinfo_endpoint"]
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    claims = get(endpoint, headers=bearer).json()
    assert (claims["preferred_username"], claims["groups"]) == ("ada", ["/dev/ml"])
    assert get(endpoint, headers={"Authorization": "Bearer no"}).status_code == 401


def test_refresh_rotates(provider: Provider, tokens: dict[str, Any]) -> None:
    old = tokens["refresh_token"]
    fresh = provider.token(grant_type="refresh_token", refresh_token=old)
    assert fresh.status_code == 200, fresh.text
    assert provider.claims(fresh.json()["access_token"])["preferred_username"] == "ada"
    assert fresh.json()["refresh_token"] != old
    again = provider.token(grant_type="refresh_token", refresh_token=old)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    newest = fresh.json()["refresh_token"]
    assert provider.token(grant_type="refresh_token", refresh_token=newest).status_code == 200


def test_a_refresh_token_is_spent_once_however_many_ask(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    def refresh(_: int) -> int:
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        return provider.token(**form).status_code

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(refresh, range(6))) == [200] + [400] * 5


def test_a_refresh_sees_new_groups_and_refuses_the_disabled(
    provider: Provider, browser: Browser, request_: Request
) -> None:
    stdin = PASSWORD
    added = provider.manage("add_user", "grace", "--password-stdin", stdin=stdin)
    assert added.returncode == 0, added.stderr
    page = consent_page(browser, request_.url(), login="grace")
    tokens = request_.exchange(answer(browser.submit(page, action="grant"))["code"]).json()
    assert provider.claims(tokens["access_token"])["groups"] == []

    def change(statement: str) -> httpx.Response:
        find = "from quaderno.iam.models import User; g = User.objects.get(username='grace')"
        changed = provider.manage("shell", "--command", f"{find}; {statement}")
        assert changed.returncode == 0, changed.stderr
        return provider.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])

    grouped = change("g.groups.create(name='/dev/new')").json()
    assert provider.claims(grouped["access_token"])["groups"] == ["/dev/new"]
    tokens = grouped
    suspend = "from quaderno.iam import accounts; accounts.suspend(g, 'Gone')"
    assert change(suspend).status_code == 400


def test_revoked_tokens_end(provider: Provider, tokens: dict[str, Any]) -> None:
    config = provider.config
    secret = config.oidc.client_secret.get_secret_value()
    token = tokens["refresh_token"]
    revoked = post(
        provider.metadata["revocation_endpoint"],
        data={"token": token},
        auth=(config.oidc.client_id, secret),
    )
    assert revoked.status_code == 200
    assert provider.token(grant_type="refresh_token", refresh_token=token).status_code == 400


def test_a_code_is_spent_once(request_: Request, code: str) -> None:
    assert request_.exchange(code).status_code == 200
    replayed = request_.exchange(code)
    assert (replayed.status_code, replayed.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "tampered",
    [{"code_verifier": "x" * 50}, {"redirect_uri": "http://127.0.0.1/elsewhere"}],
    ids=str,
)
def test_a_code_is_bound_to_its_request(
    request_: Request, code: str, tampered: dict[str, str]
) -> None:
    assert request_.exchange(code, **tampered).status_code == 400


def test_a_wrong_client_secret_is_refused(provider: Provider, request_: Request, code: str) -> None:
    refused = post(
        provider.metadata["token_endpoint"],
        data={"grant_type": "authorization_code", "code": code},
        auth=(provider.config.oidc.client_id, "guess"),
    )
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/hub/oauth_callback"},
        {"redirect_uri": "{hub}/hub/oauth_callback/../../user/eve/"},
        {"client_id": "somebody"},
    ],
    ids=str,
)
def test_a_tampered_request_goes_nowhere(
    browser: Browser, request_: Request, changes: dict[str, str]
) -> None:
    hub = request_.provider.config.public_url
    url = request_.url(**{key: value.format(hub=hub) for key, value in changes.items()})
    page = consent_page(browser, url)
    assert page.status_code == 200
    assert "This login cannot go on" in page.text
    assert "Authorize" not in page.text


def test_consent_is_asked_once_and_again_for_more(
    provider: Provider, browser: Browser, request_: Request
) -> None:
    provider.manage("add_user", "mary", "--password-stdin", stdin=PASSWORD)
    fewer = {"scope": "openid profile", "prompt": ""}
    page = consent_page(browser, request_.url(**fewer), login="mary")
    assert "See your username" in page.text
    browser.submit(page, action="grant")
    silent = answer(browser.visit(request_.url(**fewer)))
    assert request_.exchange(silent["code"]).status_code == 200
    assert silent["state"] == request_.state

    more = browser.visit(request_.url(prompt=""))
    assert "asks for more than before" in more.text
    assert "See your groups <small>new</small>" in more.text
    assert answer(browser.submit(more, action="cancel"))["error"] == "access_denied"
    assert "asks for more than before" in browser.visit(request_.url(prompt="")).text


def test_consent_that_was_taken_back_is_asked_for(
    provider: Provider, browser: Browser, request_: Request
) -> None:
    page = consent_page(browser, request_.url())
    tokens = request_.exchange(answer(browser.submit(page, action="grant"))["code"]).json()
    assert "code" in answer(browser.visit(request_.url(prompt="")))
    listed = browser.visit(f"{browser.origin}/identity/applications/")
    client = provider.config.oidc.client_id
    browser.submit(listed, client=client)
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert provider.token(**refresh).status_code == 400
    assert "Authorize Quaderno" in browser.visit(request_.url(prompt="")).text


def test_remembered_consent_leads_nowhere_else(browser: Browser, request_: Request) -> None:
    browser.submit(consent_page(browser, request_.url()), action="grant")
    url = request_.url(prompt="", redirect_uri="https://evil.example/hub/oauth_callback")
    page = browser.visit(url)
    assert page.status_code == 200
    assert "This login cannot go on" in page.text


def test_cancel_tells_the_hub(browser: Browser, request_: Request) -> None:
    page = consent_page(browser, request_.url())
    refused = answer(browser.submit(page, action="cancel"))
    assert (refused["error"], refused["state"]) == ("access_denied", request_.state)


def test_a_client_may_ask_for_the_password_again(browser: Browser, request_: Request) -> None:
    consent_page(browser, request_.url())
    page = browser.visit(request_.url(prompt="login consent"))
    assert "Confirm that it is you" in page.text
    assert "Authorize Quaderno" in browser.submit(page, password=PASSWORD).text


def test_the_hub_may_log_people_out(
    provider: Provider, browser: Browser, request_: Request
) -> None:
    consent_page(browser, request_.url())
    hub = f"{provider.config.public_url}/hub/login"
    wish = {"client_id": provider.config.oidc.client_id, "post_logout_redirect_uri": hub}
    endpoint = provider.metadata["end_session_endpoint"]
    page = browser.visit(str(httpx.URL(endpoint, params=wish)))
    assert "Log out here too?" in page.text
    assert browser.submit(page, action="logout").headers["location"] == hub
    assert "Log in" in browser.visit(f"{browser.origin}/").text


def test_consent_needs_the_form_of_our_page(browser: Browser, request_: Request) -> None:
    page = consent_page(browser, request_.url())
    browser.origin = "http://127.0.0.1:1"
    assert browser.submit(page, action="grant").status_code == 403


def test_a_wrong_password_says_what_to_do_and_nothing_else(
    browser: Browser, request_: Request
) -> None:
    page = browser.visit(request_.url())
    known = browser.submit(page, login="ada", password="wrong")
    unknown = browser.submit(page, login="nobody-here", password="wrong")
    sentence = (
        "Wrong username or password; if you are not registered yet, "
        "ask help@example.org for an account."
    )
    assert sentence in known.text
    assert sentence in unknown.text


def test_login_by_address(browser: Browser, request_: Request) -> None:
    assert "Authorize Quaderno" in consent_page(browser, request_.url(), "Ada@example.org").text


def test_guessing_is_slowed_down_whatever_the_headers_say(
    provider: Provider, browser: Browser, request_: Request
) -> None:
    provider.manage("add_user", "hedy", "--password-stdin", stdin=PASSWORD)
    page = browser.visit(request_.url())
    port = provider.config.ports.iam_app
    for attempt in range(6):
        browser.headers["Host"] = f"127.0.0.1:{port + attempt}"
        browser.headers["X-Forwarded-For"] = f"192.0.2.{attempt}, 198.51.100.7"
        last = browser.submit(page, login="hedy", password=f"guess {attempt}")
    assert "Too many failed logins" in last.text
    right = browser.submit(page, login="hedy", password=PASSWORD)
    assert "Too many failed logins" in right.text


def test_nothing_is_logged_of_requests(provider: Provider, tokens: dict[str, Any]) -> None:
    log = (provider.config.dir / "log").read_text()
    assert "code=" not in log
    assert "Listening at" in log


def test_nothing_is_written_elsewhere(provider: Provider, tokens: dict[str, Any]) -> None:
    kept = {path.name for path in Path(provider.config.dir).iterdir()}
    assert kept == {"iam", "log"}
