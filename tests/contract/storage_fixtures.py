"""Real parts for the storage contracts: an identity provider, the store, a hub's key endpoint."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import RSAAlgorithm

from quaderno import config as configuration
from quaderno import names
from quaderno.config import Config
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.hub.vouching import Voucher
from quaderno.storage import seaweedfs, seaweedfs_buckets, sts, trust
from tests.ports import free_ports
from tests.serving import Quiet, serving

KEY_ID = "test"
SILENCE = 300  # seconds at most that a hub does not answer


def new_config(directory: Path) -> Config:
    """A configuration with ports that are free now."""
    return configuration.generate(directory, first_port=free_ports())


SOAK = bool(os.environ.get("QUADERNO_SOAK"))


def limit(promised: float, loaded: float) -> float:
    """Seconds that something may take: in a soak, which has an idle machine for itself, what is
    promised; else what a machine keeps that is busy with other things."""
    return promised if SOAK else loaded


def eventually(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value of `condition`; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


class Issuer:
    """A tiny identity provider: keys at its JWKS address, tokens for whomever a test names."""

    def __init__(self, config: Config) -> None:
        self.config = config
        pem = config.iam.signing_key.get_secret_value().encode()
        key = load_pem_private_key(pem, password=None)
        assert isinstance(key, RSAPrivateKey)
        self._key = key
        public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self.jwks = {"keys": [public | {"kid": KEY_ID}]}
        self.voucher = Voucher(config)  # the hub's, for mapped names

    def token(self, username: str, **claims: Any) -> str:
        """An access token such as the embedded identity provider's."""
        now = int(time.time())
        payload = {
            "iss": self.config.issuer,
            "aud": self.config.oidc.client_id,
            "sub": f"subject-of-{username}",
            "preferred_username": username,
            "iat": now,
            "exp": now + 3600,
        }
        headers = {"kid": KEY_ID}
        return jwt.encode(payload | claims, self._key, algorithm="RS256", headers=headers)

    def keys(self, username: str) -> sts.Keys:
        """S3 keys of `username`; of a mapped one while the hub serves."""
        if names.is_mapped(username):
            token, role = self.voucher.token(username), self.config.mapped_role_arn
            return sts.assume_role(self.config, token, username, role)
        return sts.assume_role(self.config, self.token(username), username)

    def guest_keys(self, username: str) -> sts.Keys:
        """Those that open what others share with `username`; while the hub serves."""
        token = self.voucher.guest_token(username)
        return sts.assume_role(self.config, token, username, self.config.guest_role_arn)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Publish the JWKS where the embedded identity provider would."""

        def answer(path: str, _headers: Any) -> tuple[int, Any]:
            return (200, self.jwks) if path == "/.well-known/jwks.json" else (404, {})

        with json_server(self.config.ports.iam_app, answer):
            yield


class Hub:
    """The hub's key endpoint; `failure` makes it answer with that status instead, and while
    `speaks` is cleared it does not answer. It says of keys that they live for `key_life` seconds
    at most, which may be less than the store lets anybody ask for. `quotas` are people's, in
    bytes."""

    def __init__(self, config: Config, issuer: Issuer) -> None:
        self.config, self.issuer = config, issuer
        self.failure: int | None = None
        self.speaks = threading.Event()
        self.speaks.set()
        self.key_life = timedelta(hours=1)
        self.given: list[str] = []  # access keys
        self.quotas: dict[str, int] = {}
        self.asked_at: dict[str, float] = {}  # by username, monotonic seconds

    def answer(self, path: str, headers: Any) -> tuple[int, Any]:
        """As `GET /hub/api/quaderno/users/{name}/s3-keys` does, and the hub's public key."""
        if path == trust.HUB_KEYS:
            return 200, self.issuer.voucher.public_keys()
        user = path.split("/")[-2]
        self.asked_at[user] = time.monotonic()
        if headers["Authorization"] != f"token {self.config.agent.hub_token.get_secret_value()}":
            return 403, {"message": "not the agent"}
        if self.failure:
            return self.failure, {"message": "log in again"}
        self.speaks.wait(SILENCE)
        try:
            keys = self.issuer.keys(user)
            self.given.append(keys.access_key_id)
            end = min(keys.expiration, datetime.now(UTC) + self.key_life)
            answer = replace(keys, expiration=end).container_credentials()
            return 200, {**answer, "Quota": self.quotas.get(user, 0)}
        except StorageRefusedError as error:
            return 403, {"message": str(error)}
        except StorageError as error:
            return 503, {"message": str(error)}

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Listen where the hub would."""
        with json_server(self.config.ports.hub, self.answer):
            yield


@contextmanager
def json_server(
    port: int,
    answer: Callable[[str, Any], tuple[int, Any]],
    posted: Callable[[str], tuple[int, Any]] = lambda _: (405, {}),
) -> Iterator[None]:
    """An HTTP server on loopback whose GET answers are `answer(path, headers)`, and its POST
    answers `posted(body)`."""

    class Handler(Quiet):
        def do_GET(self) -> None:
            self.send_json(*answer(self.path, self.headers))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_json(*posted(body.decode()))

    with serving(ThreadingHTTPServer(("127.0.0.1", port), Handler)):
        yield


class Program:
    """A component as a child process, with its output in a file."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._command, self._log = command, log
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running child."""
        assert self._process is not None
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not been stopped."""
        return self._process is not None

    def start(self) -> None:
        """Start it; returns at once."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log
            )

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal it and wait for its end; nothing when it is not running."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None


class Store(Program):
    """The embedded object store."""

    def __init__(self, config: Config) -> None:
        seaweedfs.prepare(config)
        environment = seaweedfs.environment(config)
        super().__init__(seaweedfs.command(config), environment, config.dir / "store.log")
        self.config = config

    def start(self) -> None:
        """Start it and wait until it serves."""
        super().start()
        eventually(self._healthy, 60, "the store answers")
        seaweedfs_buckets.initialise(self.config)

    def _healthy(self) -> bool:
        assert self.process.poll() is None, "the store ended"
        try:
            return httpx.get(seaweedfs.health_url(self.config)).status_code == 200
        except httpx.HTTPError:
            return False
