"""S3 keys for every AWS SDK in a server: a container credentials provider on its loopback.

SDKs find it by AWS_CONTAINER_CREDENTIALS_FULL_URI and show the text of the file that
AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names, which only this user can read. They ask when they need
keys and again before these expire, so people's code neither holds nor renews any. The keys come
from the hub, which knows the server by its API token. Protocol: AWS SDKs and Tools Reference Guide,
"Container credential provider".

Some SDKs give an answer one second, and ask for every program anew: keys are kept. Once a minute,
whoever asks has the hub asked, too: a server whose token was revoked gives no more keys. It runs in
threads of its own, so that nothing that keeps JupyterLab busy keeps programs from their files.
"""

import hmac
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from quaderno_server import credentials
from quaderno_server.credentials import CredentialsError, HubUnavailableError

URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"  # noqa: S105 (a variable's name)
PATIENCE = 1.5  # seconds until whoever asks hears that the hub has not answered; boto3 waits two
AHEAD = 15 * 60.0  # seconds before the end; boto3 wants no keys that last less
LAST_MOMENT = 60.0  # seconds before the end, from which on the hub is waited for
CONFIRMED_FOR = 60.0  # seconds in which keys are given without a question
BRIEFLY = 0.5  # seconds for its answer, where there are keys that last
TRY_AGAIN_AFTER = 5.0  # seconds, while there are keys that still serve
READ_TIMEOUT = 5.0  # seconds for a client to send its request

Json = dict[str, Any]


class Keys:
    """The keys of this server's user; one question to the hub at a time."""

    def __init__(self, fetch: Callable[[], Json], patience: float = PATIENCE) -> None:
        self._fetch, self._patience = fetch, patience
        self._lock = threading.Lock()
        self._questions = ThreadPoolExecutor(1, "s3-keys")
        self._question: Future[Json] | None = None
        self._kept: Json = {}
        self._ends = self._renew_at = 0.0  # Unix seconds

    def get(self) -> Json:
        """Keys that are valid, in the protocol's form.

        Raises CredentialsError when the hub refuses, HubUnavailableError when it does not answer
        and the last keys have expired.
        """
        with self._lock:
            now = time.time()
            kept = self._kept if now < self._ends else {}
            if kept and now < self._renew_at:
                return kept
            question = self._asked()
        lasts = bool(kept) and self._ends - now > LAST_MOMENT
        try:
            return question.result(min(BRIEFLY, self._patience) if lasts else self._patience)
        except NotYetError:
            if kept:
                return kept
            raise HubUnavailableError(
                "the hub has not answered yet; try again in a moment"
            ) from None

    def _asked(self) -> "Future[Json]":
        if self._question is None or self._question.done():
            self._question = self._questions.submit(self._renew)
        return self._question

    def _renew(self) -> Json:
        """New keys; the old ones where there are none because the hub is away."""
        try:
            fresh = self._fetch()
            ends = credentials.unix(fresh["Expiration"])
        except HubUnavailableError:
            with self._lock:
                now = time.time()
                if now >= self._ends:
                    raise
                self._renew_at = now + TRY_AGAIN_AFTER
                return self._kept
        except CredentialsError:
            with self._lock:
                self._kept, self._ends = {}, 0.0
            raise
        with self._lock:
            now = time.time()
            ahead = max(LAST_MOMENT, min(AHEAD, (ends - now) / 2))
            self._kept, self._ends = fresh, ends
            self._renew_at = min(ends - ahead, now + CONFIRMED_FOR)
        return fresh


# --- serving them


class Provider(ThreadingHTTPServer):
    """Answers SDKs at the address in `environment`; raises OSError when it cannot listen there."""

    daemon_threads = True

    def __init__(self, environment: Mapping[str, str], keys: Keys) -> None:
        address = urlsplit(environment[URI])
        if address.hostname != "127.0.0.1":
            raise OSError(f"{URI} is not on this server's loopback")
        super().__init__((address.hostname, address.port or 0), _Handler)
        self.keys, self.path = keys, address.path
        self.token = secrets.token_urlsafe(32)
        _write_private(Path(environment[TOKEN_FILE]), self.token)

    def start(self) -> None:
        """Serve in a thread that ends with the process."""
        threading.Thread(target=self.serve_forever, name="s3-keys", daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; the base class would print a traceback."""


class _Handler(BaseHTTPRequestHandler):
    server: Provider
    timeout = READ_TIMEOUT

    def do_GET(self) -> None:
        if self.path != self.server.path:
            self._answer(404, _failure("NotFound", "There is nothing here"))
            return
        shown = (self.headers["Authorization"] or "").encode("utf-8", "replace")
        if not hmac.compare_digest(shown, self.server.token.encode()):
            words = f"The authorization is not what is in the file that {TOKEN_FILE} names"
            self._answer(403, _failure("NotAuthorized", words))
            return
        try:
            self._answer(200, self.server.keys.get())
        # Not 5xx: clients would try for a minute, and hide what this says.
        except HubUnavailableError as error:
            self._answer(424, _failure("HubUnavailable", error.sentence))
        except CredentialsError as error:
            self._answer(403, _failure("Refused", error.sentence))

    def _answer(self, status: int, answer: Json) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's
        """Requests are no news."""


def _failure(code: str, message: str) -> Json:
    return {"code": code, "message": message}


def _write_private(path: Path, text: str) -> None:
    """Replace `path` by a file that only this user can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
