"""The page of the object store as a program, with a hub that knows what the page asks of one."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.files import BASE, component, pages
from quaderno.storage import buckets, trust
from tests.contract.storage_fixtures import (
    Issuer,
    Program,
    Store,
    eventually,
    json_server,
    new_config,
)

# What somebody gets who has an address and nothing else; beside other tests, not within 5 seconds.
anybody = partial(httpx.request, timeout=60)


class LoginHub:
    """The parts of the hub that the page asks: tokens for codes, whose they are, and S3 keys. A
    code is a username. `silent` stages a hub that is away, `ended` the end of everybody's login;
    of keys that are not a guest's, it says that they live for `key_life` at most."""

    def __init__(self, config: Config, issuer: Issuer) -> None:
        self.config, self.issuer = config, issuer
        self.silent = self.ended = False
        self.key_life = timedelta(hours=1)
        self.quota = {"used": 7, "limit": 8, "text": "7 bytes of 8 bytes used"}

    def get(self, path: str, token: str) -> tuple[int, Any]:
        """The answer to `GET /hub/api{path}`."""
        path, _, query = path.partition("?")
        if f"/hub/api{path}" == trust.HUB_KEYS:
            return 200, self.issuer.voucher.public_keys()
        user = token.removeprefix("token token-of-")
        if self.silent:
            return 503, {"message": "away"}
        if path == "/user":
            scopes = ["access:services!service=files"]
            return 200, {"name": user, "kind": "user", "groups": [], "scopes": scopes}
        if path == f"/quaderno/users/{user}/storage":
            return 200, {"quota": self.quota}
        if self.ended or path != f"/quaderno/users/{user}/s3-keys":
            return 403, {"message": "no"}
        if query == "as=guest":
            return 200, self.issuer.guest_keys(user).container_credentials()
        keys = self.issuer.keys(user)
        end = min(keys.expiration, datetime.now(UTC) + self.key_life)
        return 200, replace(keys, expiration=end).container_credentials()

    def post(self, form: dict[str, list[str]]) -> tuple[int, Any]:
        """The answer to `POST /hub/api/oauth2/token`."""
        if form["client_secret"] != [self.config.files.client_secret.get_secret_value()]:
            return 403, {"message": "not the page"}
        return 200, {"access_token": f"token-of-{form['code'][0]}", "token_type": "Bearer"}

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Listen where the hub would."""

        def answer(path: str, headers: Any) -> tuple[int, Any]:
            return self.get(path.removeprefix("/hub/api"), headers["Authorization"] or "")

        with json_server(self.config.ports.hub, answer, lambda body: self.post(parse_qs(body))):
            yield


@dataclass(frozen=True, eq=False)
class World:
    """A store, a hub and the page; Alice is logged in, and has her S3 client to check with."""

    config: Config
    hub: LoginHub
    store: Store
    log: Path
    alice: "Visitor"
    s3: Any


@contextmanager
def running_world(directory: Path) -> Iterator[World]:
    """In which the page is at its public address, and so is the store, without an edge."""
    made = new_config(directory)
    at_once = made.store.model_copy(update={"endpoint": made.store_endpoint})
    address = f"http://127.0.0.1:{made.ports.files}"
    config = made.model_copy(update={"public_url": address, "store": at_once})
    issuer, store = Issuer(config), Store(config)
    hub = LoginHub(config, issuer)
    with ExitStack() as stack:
        stack.enter_context(issuer.serving())
        stack.callback(store.stop)
        store.start()
        for name in ("alice", "bob"):
            keys = issuer.keys(name)
            buckets.ensure_personal_bucket(config, name, keys)
            buckets.ensure_scratch_area(config, name, keys)
        stack.enter_context(hub.serving())
        log = stack.enter_context(running_page(config))
        alice = stack.enter_context(Visitor(config))
        alice.log_in("alice")
        yield World(config, hub, store, log, alice, buckets.client(config, issuer.keys("alice")))


@contextmanager
def running_page(config: Config) -> Iterator[Path]:
    """The program with its slice of `config`; the file of what it logs."""
    settings = config.dir / f"files-{config.ports.files}.yaml"
    settings.write_text(configuration.dump(configuration.for_component(config, "files")))
    log = settings.with_suffix(".log")
    program = Program(component.command(config), {"QUADERNO_CONFIG": str(settings)}, log)
    program.start()

    def healthy() -> bool:
        assert program.process.poll() is None, log.read_text()
        try:
            return httpx.get(component.health_url(config)).is_success
        except httpx.HTTPError:
            return False

    try:
        eventually(healthy, 60, "the page answers")
        yield log
    finally:
        program.stop()


class Visitor(httpx.Client):
    """A browser without JavaScript at the page."""

    def __init__(self, config: Config) -> None:
        super().__init__(
            base_url=f"http://127.0.0.1:{config.ports.files}",
            headers={"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"},
            timeout=60,
        )

    def log_in(self, username: str) -> httpx.Response:
        """Through the hub, which sends a code back at once."""
        asked = self.get(BASE)
        assert asked.status_code == 302, asked.text
        question = parse_qs(urlsplit(asked.headers["location"]).query)
        answer = {"code": username, "state": question["state"][0]}
        return self.get(f"{BASE}oauth_callback", params=answer)

    def see(self, page: str, **parameters: str) -> httpx.Response:
        """A page of ours."""
        return self.get(pages.link(page, **parameters))

    def xsrf(self) -> str:
        """What forms of this login carry."""
        found = re.search(r'name="_xsrf" value="([^"]+)"', self.see("").text)
        assert found
        return found[1]

    def submit(self, page: str, **fields: str | list[str]) -> httpx.Response:
        """Send a form."""
        return self.post(f"{BASE}{page}", data={"_xsrf": self.xsrf(), **fields})

    def script(self, page: str, **question: Any) -> httpx.Response:
        """What the page's script asks."""
        headers = {"X-XSRFToken": self.xsrf(), "Sec-Fetch-Mode": "cors"}
        return self.post(f"{BASE}{page}", json=question, headers=headers)
