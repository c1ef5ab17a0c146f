"""The agent's socket: oidc-agent's protocol, real clients, and whatever else connects."""

import asyncio
import base64
import json
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import liboidcagent
import pytest
from nacl.public import Box, PrivateKey, PublicKey

from quaderno_server import oidc_agent
from quaderno_server.oidc_agent import Agent
from tests.unit.server.small_hub import PREFIX, TOKEN, SmallHub

# liboidcagent leaves the closing of its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in.*<socket:pytest.PytestUnraisableExceptionWarning"
)

ISSUER = "https://iam.example.org/"


class Hub(SmallHub):
    """The hub's endpoint for access tokens; `refusal` makes it answer that instead."""

    def __init__(self) -> None:
        super().__init__()
        self.refusal: tuple[int, str] | None = None
        self.body: bytes | None = None
        self.lifetime = 3600
        self.issuer = ISSUER
        self.queries: list[dict[str, list[str]]] = []
        self.silence = threading.Event()  # cleared: it does not answer
        self.silence.set()

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"QUADERNO_OIDC_ACCOUNT": "infncloud"}

    def answer(self, method: str, path: str, authorization: str | None) -> tuple[int, bytes]:
        url = urlsplit(path)
        self.silence.wait(30)
        assert (method, url.path) == ("GET", f"{PREFIX}access-token")
        assert authorization == f"token {TOKEN}"
        self.queries.append(parse_qs(url.query))
        status, answer = 200, {
            "access_token": f"token-{len(self.queries)}",
            "issuer": self.issuer,
            "expires_at": int(time.time()) + self.lifetime,
            "scope": "openid profile",
        }  # fmt: skip
        if self.refusal:
            status, answer = self.refusal[0], {"message": self.refusal[1]}
        return status, json.dumps(answer).encode() if self.body is None else self.body


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    with hub.serving():
        yield hub
        hub.silence.set()


@contextmanager
def listening(environment: dict[str, str], path: Path) -> Iterator[list[Any]]:
    """An agent on a loop of its own; yields what that loop complains of."""
    complaints: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))

    async def start() -> asyncio.AbstractServer:
        return await Agent(environment).listen(path)

    server = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield complaints
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(_finish())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def _finish() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)


@pytest.fixture
def agent(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The socket of an agent that complains of nothing."""
    path = tmp_path / "private" / "agent.sock"
    monkeypatch.setenv("OIDC_SOCK", str(path))
    monkeypatch.delenv("OIDC_REMOTE_SOCK", raising=False)
    with listening(hub.environment, path) as complaints:
        yield path
    assert complaints == []


def raw(path: Path, data: bytes, seconds: float = 60) -> bytes:
    """All that the agent answers to `data`; it must end the connection by itself."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        client.connect(str(path))
        try:
            client.sendall(data)
        except BrokenPipeError:
            return b""
        return _until_the_end(client)


def _until_the_end(client: socket.socket) -> bytes:
    answer = b""
    try:
        while more := client.recv(4096):
            answer += more
    except ConnectionResetError:
        pass  # it did not care for the rest
    return answer


def plain(path: Path, **request: Any) -> Any:
    """A request without encryption, as an agent's API allows it."""
    return json.loads(raw(path, json.dumps(request).encode()))


# --- what clients get


def test_liboidcagent_gets_a_token(agent: Path, hub: Hub) -> None:
    token, issuer, expires_at = liboidcagent.get_token_response("infncloud", min_valid_period=60)
    assert (token, issuer) == ("token-1", ISSUER)
    assert expires_at == pytest.approx(time.time() + 3600, abs=60)
    assert hub.queries == [{"min_valid_period": ["60"]}]


def test_by_issuer_and_with_scope_and_audience(agent: Path, hub: Hub) -> None:
    for issuer in (ISSUER, ISSUER.rstrip("/")):
        assert liboidcagent.get_access_token_by_issuer_url(issuer).startswith("token-")
    plain_http = {"account": "http://iam.example.org", "request": "access_token"}
    assert "for that issuer" in plain(agent, **plain_http)["error"]
    hub.issuer = "http://iam.example.org"
    assert plain(agent, **plain_http)["access_token"].startswith("token-")
    liboidcagent.get_access_token("infncloud", scope="openid profile", audience=" one  two ")
    assert hub.queries[-1]["audience"] == ["one two"]


def test_accounts_are_listed(agent: Path) -> None:
    assert liboidcagent.liboidcagent.get_configured_accounts() == ["infncloud"]
    assert plain(agent, request="loaded_accounts") == {"status": "success", "info": ["infncloud"]}


def test_without_encryption(agent: Path) -> None:
    assert plain(agent, request="access_token", account="infncloud")["access_token"] == "token-1"


def test_a_new_token_when_forced(agent: Path, hub: Hub) -> None:
    plain(agent, request="access_token", account="infncloud", min_valid_period=-1)
    assert int(hub.queries[0]["min_valid_period"][0]) > 10**8


def test_each_request_asks_the_hub_for_it_may_refuse(agent: Path) -> None:
    tokens = [liboidcagent.get_access_token("infncloud") for _ in range(3)]
    assert tokens == ["token-1", "token-2", "token-3"]


def test_the_socket_is_in_a_directory_of_the_user_alone(agent: Path) -> None:
    assert stat.S_IMODE(agent.parent.stat().st_mode) == 0o700


def test_what_a_killed_server_left_is_replaced(hub: Hub, tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with listening(hub.environment, path):
        assert plain(path, request="loaded_accounts")["status"] == "success"


# --- what they do not get


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"account": "other"}, "No account configured with that short name"),
        ({"issuer": "https://elsewhere.example.org"}, "No account configured for that issuer"),
        ({}, "neither 'account' nor 'issuer'"),
        ({"account": 7}, "must be text"),
        ({"account": "infncloud", "scope": "openid storage.write"}, "scope storage.write is not"),
        ({"account": "infncloud", "min_valid_period": "soon"}, "must be a number"),
        ({"account": "infncloud", "min_valid_period": float("inf")}, "must be a number"),
        ({"account": "infncloud", "min_valid_period": None}, "must be a number"),
        ({"account": "infncloud", "audience": "\ud800"}, "Bad Request"),
        ({"request": "id_token", "account": "infncloud"}, "access tokens and nothing else"),
        ({"request": ["access_token"]}, "access tokens and nothing else"),
        ({"request": "mytoken", "account": "infncloud"}, "access tokens and nothing else"),
    ],
)
def test_a_refusal_is_one_sentence(agent: Path, request_: dict[str, Any], words: str) -> None:
    answer = plain(agent, **{"request": "access_token", **request_})
    assert answer["status"] == "failure"
    assert words in answer["error"]
    assert "\n" not in answer["error"]


def test_clients_raise_the_agents_words(agent: Path, hub: Hub) -> None:
    with pytest.raises(liboidcagent.OidcAgentError, match="the account here is infncloud"):
        liboidcagent.get_access_token("other")
    hub.refusal = (403, 'The audience "x" is not among those that may be asked for.')
    with pytest.raises(liboidcagent.OidcAgentError, match=r'403.: The audience "x" is not among'):
        liboidcagent.get_access_token("infncloud", audience="x")


def test_while_the_hub_is_away_the_last_token_serves(agent: Path, hub: Hub) -> None:
    hub.lifetime = 600
    assert liboidcagent.get_access_token("infncloud") == "token-1"
    hub.refusal = (503, "No access tokens now: try again in a moment.")
    assert liboidcagent.get_access_token("infncloud", min_valid_period=300) == "token-1"
    for arguments in ({"min_valid_period": 900}, {"audience": "other"}):
        with pytest.raises(liboidcagent.OidcAgentError, match=r"503.: No access tokens now"):
            liboidcagent.get_access_token("infncloud", **arguments)
    hub.refusal = None
    assert liboidcagent.get_access_token("infncloud") == "token-5"


def test_an_ended_session_ends_the_last_token_too(agent: Path, hub: Hub) -> None:
    liboidcagent.get_access_token("infncloud")
    hub.refusal = (403, "The login of anna has ended: log in again.")
    with pytest.raises(liboidcagent.OidcAgentError, match="has ended: log in again"):
        liboidcagent.get_access_token("infncloud")
    hub.refusal = (503, "later")
    with pytest.raises(liboidcagent.OidcAgentError, match="later"):
        liboidcagent.get_access_token("infncloud")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"access_token": 1}', b"null"])
def test_nonsense_from_the_hub(agent: Path, hub: Hub, body: bytes) -> None:
    hub.body = body
    with pytest.raises(liboidcagent.OidcAgentError, match="makes no sense"):
        liboidcagent.get_access_token("infncloud")


def test_no_hub_at_all(hub: Hub, tmp_path: Path) -> None:
    environment = {**hub.environment, "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api"}
    with listening(environment, tmp_path / "s") as complaints:
        answer = plain(tmp_path / "s", request="access_token", account="infncloud")
    assert answer["error"].startswith("The hub cannot be reached")
    assert complaints == []


def test_a_silent_hub_holds_nobody_for_ten_seconds(agent: Path, hub: Hub) -> None:
    hub.silence.clear()
    begin = time.monotonic()
    with pytest.raises(liboidcagent.OidcAgentError, match=r"answer in time|cannot be reached"):
        liboidcagent.get_access_token("infncloud")
    assert time.monotonic() - begin < 25, "and the hub is silent for 30"
    assert oidc_agent.HUB_TIMEOUT < 9


# --- hostile clients

CLIENT = PrivateKey.generate()
KEY = base64.b64encode(bytes(CLIENT.public_key))


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 60,
        b"\x00" * 44,
        base64.b64encode(bytes(32)),  # a point of small order: no secret can be shared
        b"A" * 100_000,
        b"{" + b" " * 100_000,
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
        b'{"request": ' + b"9" * 5000 + b"}",
        b'{"request": "\xff"}',
        b"{\x00}",
    ],
)
def test_garbage_is_refused(agent: Path, data: bytes) -> None:
    answer = raw(agent, data)
    assert not answer or "Bad Request" in json.loads(answer)["error"]
    assert plain(agent, request="loaded_accounts")["status"] == "success"


@pytest.mark.parametrize(
    "message",
    [
        b"no colons anywhere in this",
        b"99999999999999999999:AAAA:AAAA",
        b"-1:AAAA:AAAA",
        b"\xb2:AAAA:AAAA",
        b":::::::::" + b"A" * 40,
        b"4:not base64:" + b"A" * 40,
        b"4:" + b"A" * 32 + b":" + b"A" * 40,
        b"16000:" + b"A" * 20_000,
    ],
)
def test_garbage_after_the_keys_is_refused(agent: Path, message: bytes) -> None:
    with _after_the_keys(agent) as (client, _):
        client.sendall(message)
        assert "Bad Request" in json.loads(_until_the_end(client))["error"]


@pytest.mark.parametrize("plain_text", [b"", b"[]", b"null", b"7", b"\xff", b"{"])
def test_nonsense_in_the_box_is_answered_in_the_box(agent: Path, plain_text: bytes) -> None:
    with _after_the_keys(agent) as (client, box):
        client.sendall(oidc_agent._encrypted(box, plain_text))
        answer = _until_the_end(client)
    assert "Bad Request" in json.loads(oidc_agent._decrypted(box, answer))["error"]


def test_a_message_may_arrive_in_pieces(agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc_agent, "READ_TIMEOUT", 60)
    with _after_the_keys(agent) as (client, box):
        for byte in oidc_agent._encrypted(box, b'{"request": "loaded_accounts"}'):
            client.sendall(bytes([byte]))
        answer = oidc_agent._decrypted(box, _until_the_end(client))
    assert json.loads(answer)["info"] == ["infncloud"]


@contextmanager
def _after_the_keys(path: Path) -> Iterator[tuple[socket.socket, Box]]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(path))
        client.sendall(KEY)
        yield client, Box(CLIENT, PublicKey(base64.b64decode(client.recv(4096))))


def test_who_says_nothing_is_sent_away_and_holds_up_nobody(agent: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as gone:
        for client in (silent, gone):
            client.settimeout(60)
            client.connect(str(agent))
        gone.close()
        assert liboidcagent.get_access_token("infncloud") == "token-1"
        assert b"arrived in time" in _until_the_end(silent)


def test_a_crowd_is_turned_away_and_the_next_one_served(agent: Path) -> None:
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(oidc_agent.MAX_CLIENTS)]
    for client in crowd:
        client.connect(str(agent))
    assert "Too many programs" in plain(agent, request="loaded_accounts")["error"]
    for client in crowd:
        client.close()
    deadline = time.monotonic() + 60
    while plain(agent, request="loaded_accounts")["status"] != "success":
        assert time.monotonic() < deadline
