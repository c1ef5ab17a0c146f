"""The embedded identity provider, as the hub and a browser meet it: OpenID Connect over HTTP."""

import base64
import hashlib
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.iam import component

PASSWORD = "a quiet staircase 7"
SCOPES = "openid profile email groups offline_access"


@dataclass
class Provider:
    """A running identity provider."""

    config: Config
    environment: dict[str, str]
    metadata: dict[str, Any]

    def manage(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a management command as the supervising side does."""
        return subprocess.run(
            [sys.executable, "-m", "quaderno.iam.manage", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def token(self, **form: str) -> httpx.Response:
        """A request of the hub to the token endpoint."""
        secret = self.config.oidc.client_secret.get_secret_value()
        return httpx.post(
            self.metadata["token_endpoint"], data=form, auth=(self.config.oidc.client_id, secret)
        )

    def claims(self, token: str) -> dict[str, Any]:
        """Verify `token` as a relying party does, and return its claims."""
        key = jwt.PyJWKClient(self.metadata["jwks_uri"]).get_signing_key_from_jwt(token)
        return jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=self.config.oidc.client_id,
            issuer=self.config.issuer,
            options={"require": ["exp", "iat", "sub", "jti"]},
        )


def free_block(size: int) -> int:
    """The first of `size` consecutive ports on which nothing listens."""
    while True:
        first = secrets.randbelow(20_000) + 20_000
        sockets = [socket.socket() for _ in range(size)]
        try:
            for port, listener in enumerate(sockets, first):
                listener.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for listener in sockets:
                listener.close()


def wait_until_healthy(config: Config, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; fail when it ends or takes more than 30 seconds."""
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(component.health_url(config)).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the identity provider did not start")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """gunicorn on a port of its own, as `quaderno run iam` starts it, but without the edge."""
    directory = tmp_path_factory.mktemp("iam-contract")
    config = configuration.generate(directory, first_port=free_block(17))
    url = f"http://127.0.0.1:{config.ports.iam_app}"
    config = config.model_copy(
        update={
            "iam": config.iam.model_copy(update={"public_url": url}),
            "contact": "help@example.org",
        }
    )
    (directory / "iam").mkdir(mode=0o700)
    settings = directory / "iam" / "settings.yaml"
    settings.write_text(configuration.dump(configuration.for_component(config, "iam")))
    environment = {"QUADERNO_CONFIG": str(settings), "PATH": os.environ["PATH"], "HOME": "/none"}
    for command in component.setup_commands(config) * 2:
        subprocess.run(command, env=environment, check=True, cwd=directory)
    log = (directory / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            component.command(config), env=environment, cwd=directory, stdout=log, stderr=log
        ) as process,
    ):
        try:
            wait_until_healthy(config, process)
            discovery = httpx.get(f"{config.issuer}/.well-known/openid-configuration").json()
            provider = Provider(config, environment, discovery)
            added = provider.manage(
                *("add_user", "ada", "--email", "ada@example.org", "--group", "/dev/ml"),
                "--password-stdin",
                stdin=PASSWORD,
            )
            assert added.returncode == 0, added.stderr
            yield provider
        finally:
            process.terminate()


class Browser(httpx.Client):
    """Keeps cookies, follows redirects within the provider and fills in forms."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(follow_redirects=False)
        self.origin = provider.config.iam_url

    def visit(self, url: str) -> httpx.Response:
        """The page at `url`, after redirects that stay here."""
        response = self.get(url)
        while response.is_redirect and self._ours(response.headers["location"]):
            response = self.get(str(response.url.join(response.headers["location"])))
        return response

    def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Send the form of `page` with `fields` filled in."""
        action = re.search(r'<form method="post" action="([^"]*)"', page.text)
        assert action, page.text
        inputs = re.findall(
            r'<input type="hidden" name="([^"]+)"(?:\s+value="([^"]*)")?', page.text
        )
        data: dict[str, list[str]] = {}
        for name, value in inputs:
            data.setdefault(name, []).append(unescape(value))
        answer = self.post(
            str(page.url.join(unescape(action[1]))),
            data={**data, **fields},
            headers={"Origin": self.origin},
        )
        if answer.is_redirect and self._ours(answer.headers["location"]):
            return self.visit(str(answer.url.join(answer.headers["location"])))
        return answer

    def _ours(self, location: str) -> bool:
        return location.startswith(("/", self.origin))


@dataclass
class Request:
    """An authorization request of the hub (RFC 6749, section 4.1.1; PKCE: RFC 7636)."""

    provider: Provider
    verifier: str
    state: str
    nonce: str

    @classmethod
    def new(cls, provider: Provider) -> "Request":
        return cls(provider, *(secrets.token_urlsafe(48) for _ in range(3)))

    @property
    def redirect_uri(self) -> str:
        return f"{self.provider.config.public_url}/hub/oauth_callback"

    def url(self, **changes: str) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters = {
            "response_type": "code",
            "client_id": self.provider.config.oidc.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": SCOPES,
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        endpoint = self.provider.metadata["authorization_endpoint"]
        return str(httpx.URL(endpoint, params=parameters | changes))

    def exchange(self, code: str, **changes: str) -> httpx.Response:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return self.provider.token(**form | changes)


def consent_page(browser: Browser, url: str, login: str = "ada") -> httpx.Response:
    """Log in on the way to the consent page."""
    page = browser.visit(url)
    return browser.submit(page, login=login, password=PASSWORD)


def answer(response: httpx.Response) -> dict[str, str]:
    """The parameters that a redirect carries back to the hub."""
    assert response.status_code == 302, response.text
    query = urlsplit(response.headers["location"]).query
    return {name: values[0] for name, values in parse_qs(query).items()}


@pytest.fixture
def browser(provider: Provider) -> Iterator[Browser]:
    with Browser(provider) as browser:
        yield browser


@pytest.fixture
def request_(provider: Provider) -> Request:
    return Request.new(provider)


@pytest.fixture
def code(browser: Browser, request_: Request) -> str:
    """A code for which the person has logged in and consented."""
    page = consent_page(browser, request_.url())
    granted = answer(browser.submit(page, action="grant"))
    assert granted["state"] == request_.state
    return granted["code"]


@pytest.fixture
def tokens(request_: Request, code: str) -> dict[str, Any]:
    response = request_.exchange(code)
    assert response.status_code == 200, response.text
    return dict(response.json())


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
    assert "See which groups you belong to" in page.text
    # Chromium holds the redirect that answers the form against this policy.
    origin = request_.provider.config.public_url
    assert f"form-action 'self' {origin}" in page.headers["content-security-policy"]


def test_tokens_carry_what_the_hub_and_the_store_need(
    provider: Provider, request_: Request, tokens: dict[str, Any]
) -> None:
    assert tokens["expires_in"] == 3600
    assert tokens["refresh_expires_in"] == pytest.approx(30 * 24 * 3600, abs=5)
    access, identity = (provider.claims(tokens[name]) for name in ("access_token", "id_token"))
    for claims in (access, identity):
        assert claims["preferred_username"] == "ada"
        assert claims["groups"] == ["/dev/ml"]
    assert access["exp"] - access["iat"] == 3600
    assert access["sub"] == identity["sub"]
    assert identity["nonce"] == request_.nonce
    assert identity["email"] == "ada@example.org"
    assert identity["email_verified"] is True


def test_userinfo(provider: Provider, tokens: dict[str, Any]) -> None:
    endpoint = provider.metadata["userinfo_endpoint"]
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    claims = httpx.get(endpoint, headers=bearer).json()
    assert (claims["preferred_username"], claims["groups"]) == ("ada", ["/dev/ml"])
    assert httpx.get(endpoint, headers={"Authorization": "Bearer no"}).status_code == 401


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
    assert change("g.is_active=False; g.save()").status_code == 400


def test_revoked_tokens_end(provider: Provider, tokens: dict[str, Any]) -> None:
    config = provider.config
    secret = config.oidc.client_secret.get_secret_value()
    token = tokens["refresh_token"]
    revoked = httpx.post(
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
    refused = httpx.post(
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


def test_cancel_tells_the_hub(browser: Browser, request_: Request) -> None:
    page = consent_page(browser, request_.url())
    refused = answer(browser.submit(page, action="cancel"))
    assert (refused["error"], refused["state"]) == ("access_denied", request_.state)


def test_a_client_may_ask_for_the_password_again(browser: Browser, request_: Request) -> None:
    consent_page(browser, request_.url())
    page = browser.visit(request_.url(prompt="login"))
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
