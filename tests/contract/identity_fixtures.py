"""What the identity provider's contract test is made of: the hub's and the browser's part."""

import base64
import hashlib
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
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
from tests.ports import free_ports

PASSWORD = "a quiet staircase 7"
SCOPES = "openid profile email groups offline_access"
PATIENCE = 60  # seconds for an answer; httpx itself waits for five
get, post = partial(httpx.get, timeout=PATIENCE), partial(httpx.post, timeout=PATIENCE)


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
        who = (self.config.oidc.client_id, secret)
        return post(self.metadata["token_endpoint"], data=form, auth=who)

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


@contextmanager
def running_provider(
    directory: Path, host: str = "127.0.0.1", audiences: Sequence[str] = (), **settings: Any
) -> Iterator[Provider]:
    """gunicorn on a port of its own, as `quaderno run iam` starts it, but without the edge.

    Browsers know it as `host`; `settings` are of the section `iam`. Ada is registered.
    """
    config = configuration.generate(directory, first_port=free_ports())
    iam = config.iam.model_dump() | settings
    iam["public_url"] = f"http://{host}:{config.ports.iam_app}"
    config = config.model_copy(
        update={
            "iam": type(config.iam).model_validate(iam),
            "oidc": config.oidc.model_copy(update={"audiences": list(audiences)}),
            "contact": "help@example.org",
        }
    )
    (directory / "iam").mkdir(mode=0o700)
    file = directory / "iam" / "settings.yaml"
    file.write_text(configuration.dump(configuration.for_component(config, "iam")))
    environment = {"QUADERNO_CONFIG": str(file), "PATH": os.environ["PATH"], "HOME": "/none"}
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
            address = f"{config.issuer}/.well-known/openid-configuration"
            discovery = get(address).json()
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


def wait_until_healthy(config: Config, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; fail when it ends or takes more than two minutes."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(component.health_url(config)).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the identity provider did not start")


class Browser(httpx.Client):
    """Keeps cookies, follows redirects within the provider and fills in forms."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(follow_redirects=False, timeout=PATIENCE)
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
            "prompt": "consent",  # which is remembered otherwise, from one test to the next
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
