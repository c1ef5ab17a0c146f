"""The provider of S3 keys in a server: what is kept, for how long, and who gets none."""

import json
import socket
import stat
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from quaderno_server import s3_keys
from quaderno_server.credentials import CredentialsError, HubUnavailableError
from quaderno_server.s3_keys import Keys, Provider

REFUSED = CredentialsError("the hub gives no S3 keys (HTTP 403): log in again")
AWAY = HubUnavailableError("the hub cannot be reached; try again in a minute")
PATIENCE = 30  # seconds for an answer that comes at once, unless the machine is busy


class Hub:
    """Gives numbered keys that last `life` seconds, or raises `failure`."""

    def __init__(self, life: float = 3600) -> None:
        self.life, self.asked = life, 0
        self.failure: CredentialsError | None = None
        self.talks = threading.Event()  # cleared: it does not answer
        self.talks.set()

    def __call__(self) -> dict[str, Any]:
        self.asked += 1
        self.talks.wait(30)
        if self.failure:
            raise self.failure
        ends = datetime.now(UTC) + timedelta(seconds=self.life)
        return {"AccessKeyId": f"key-{self.asked}", "Expiration": ends.isoformat()}


def key(keys: Keys) -> str:
    return str(keys.get()["AccessKeyId"])


def test_keys_are_kept() -> None:
    hub = Hub()
    keys = Keys(hub, PATIENCE)
    assert [key(keys) for _ in range(3)] == ["key-1"] * 3
    assert hub.asked == 1


def test_the_hub_is_asked_once_a_minute_and_need_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub(life=3600)
    keys = Keys(hub, PATIENCE)
    key(keys)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + s3_keys.CONFIRMED_FOR - 5)
    assert key(keys) == "key-1"
    assert hub.asked == 1
    monkeypatch.setattr(time, "time", lambda: now + s3_keys.CONFIRMED_FOR + 5)
    hub.talks.clear()
    assert key(keys) == "key-1"  # though the hub is silent
    hub.talks.set()
    while key(keys) == "key-1":
        pass
    assert hub.asked == 2


def test_a_server_whose_token_was_revoked_gives_none_within_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub(life=3600)
    keys = Keys(hub, PATIENCE)
    key(keys)
    hub.failure = REFUSED
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + s3_keys.CONFIRMED_FOR)
    monkeypatch.setattr(s3_keys, "BRIEFLY", PATIENCE)
    with pytest.raises(CredentialsError):
        keys.get()


def test_keys_about_to_end_are_not_given_without_a_question() -> None:
    hub = Hub(life=s3_keys.LAST_MOMENT / 2)
    keys = Keys(hub, PATIENCE)
    assert [key(keys) for _ in range(3)] == ["key-1", "key-2", "key-3"]


def test_they_serve_while_the_hub_is_away_until_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(life=s3_keys.LAST_MOMENT / 2)
    keys = Keys(hub, PATIENCE)
    key(keys)
    hub.failure = AWAY
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    assert [key(keys), key(keys)] == ["key-1", "key-1"]
    assert hub.asked == 2  # not again for some seconds
    monkeypatch.setattr(time, "time", lambda: now + s3_keys.LAST_MOMENT)
    with pytest.raises(HubUnavailableError, match="cannot be reached"):
        keys.get()


def test_a_refusal_ends_them() -> None:
    hub = Hub(life=s3_keys.LAST_MOMENT / 2)
    keys = Keys(hub, PATIENCE)
    key(keys)
    hub.failure = REFUSED
    with pytest.raises(CredentialsError, match="log in again"):
        keys.get()
    hub.failure = AWAY
    with pytest.raises(HubUnavailableError):
        keys.get()


def test_many_who_ask_at_once_share_one_question() -> None:
    hub = Hub()
    hub.talks.clear()
    keys = Keys(hub, PATIENCE)
    with ThreadPoolExecutor(10) as pool:
        asking = [pool.submit(key, keys) for _ in range(10)]
        while not hub.asked:
            pass
        hub.talks.set()
        assert {one.result() for one in asking} == {"key-1"}
    assert hub.asked == 1


def test_who_cannot_wait_is_told_and_the_answer_is_kept() -> None:
    hub = Hub()
    hub.talks.clear()
    keys = Keys(hub, patience=0.05)
    with pytest.raises(HubUnavailableError, match="has not answered yet"):
        keys.get()
    hub.talks.set()
    deadline = time.monotonic() + 30
    while True:
        try:
            assert key(keys) == "key-1"
            break
        except HubUnavailableError:
            assert time.monotonic() < deadline
    assert hub.asked == 1


# --- over HTTP


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        s3_keys.URI: "http://127.0.0.1:0/s3-keys",
        s3_keys.TOKEN_FILE: str(tmp_path / "private" / "token"),
    }


@pytest.fixture
def provider(hub: Hub, environment: dict[str, str]) -> Iterator[Provider]:
    with Provider(environment, Keys(hub, PATIENCE)) as provider:
        provider.start()
        yield provider
        provider.shutdown()


def asked(provider: Provider, token: str | None, path: str = "/s3-keys") -> tuple[int, Any]:
    url = f"http://127.0.0.1:{provider.server_port}{path}"
    headers = {} if token is None else {"Authorization": token}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_keys_are_for_who_shows_the_token(provider: Provider, environment: dict[str, str]) -> None:
    file = Path(environment[s3_keys.TOKEN_FILE])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    status, answer = asked(provider, file.read_text())
    assert (status, answer["AccessKeyId"]) == (200, "key-1")
    for token in (None, "", "other", "é", file.read_text() + "x"):
        status, answer = asked(provider, token)
        assert (status, answer["code"]) == (403, "NotAuthorized")
    assert asked(provider, file.read_text(), "/")[0] == 404


@pytest.mark.parametrize(
    ("failure", "status", "code", "message"),
    [
        (REFUSED, 403, "Refused", "The hub gives no S3 keys (HTTP 403): log in again"),
        (AWAY, 424, "HubUnavailable", "The hub cannot be reached; try again in a minute"),
    ],
)
def test_a_failure_is_a_sentence(
    provider: Provider, hub: Hub, failure: CredentialsError, status: int, code: str, message: str
) -> None:
    hub.failure = failure
    assert asked(provider, provider.token) == (status, {"code": code, "message": message})


def test_what_disturbs_it_is_not_told_to_the_log(
    provider: Provider, capfd: pytest.CaptureFixture[str]
) -> None:
    for data in (b"x" * 10**6, b"GET /s3-keys HTTP/1.1\r\nA", b"\0\r\n\r\n", b"GET  /\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", provider.server_port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # resets
            with suppress(ConnectionError):  # it is refused before it is read
                client.sendall(data)
    assert asked(provider, provider.token)[0] == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("uri", ["http://0.0.0.0:0/s3-keys", "http://example.org/keys", "nonsense"])
def test_it_listens_on_loopback_only(environment: dict[str, str], hub: Hub, uri: str) -> None:
    with pytest.raises(OSError, match="loopback"):
        Provider({**environment, s3_keys.URI: uri}, Keys(hub, PATIENCE))
