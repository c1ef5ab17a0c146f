"""An agent for oidc-agent's clients (`oidc-token`, liboidcagent), with one account and no secret.

It owns the unix socket at `OIDC_SOCK`. Each access token comes from the hub, which knows the server
by its API token. The hub is asked every time, so that it can refuse; what it gave last is used
again only while it does not answer.

Protocol: oidc-agent's IPC API. The client sends its X25519 public key in base64 and gets the
agent's; one request and one response follow, JSON in a NaCl box, written `length:nonce:box` with
base64. A client may also send the plain JSON. Nothing delimits messages, and clients read what is
there at once: a response is one write.
"""

import asyncio
import base64
import functools
import json
import math
import socket
import struct
import time
import urllib.parse
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from quaderno_server import credentials
from quaderno_server.credentials import CredentialsError, HubUnavailableError

MAX_MESSAGE = 16 * 1024  # bytes
MAX_CLIENTS = 32  # more at a time are turned away
MAX_QUESTIONS = 4  # to the hub at a time
READ_TIMEOUT = 3.0  # seconds for a client to send all it has to
HUB_TIMEOUT = 6.0  # seconds; clients hear of it before 10 are over
FORCE_NEW = -1  # `min_valid_period` of a client that wants a token issued now
_AS_LONG_AS_POSSIBLE = 10**9  # seconds
_UCRED = struct.Struct("3i")  # process, user, group
_KEY_BYTES, _NONCE_BYTES, _MAC_BYTES = 32, 24, 16

Json = dict[str, Any]


class RefusedError(Exception):
    """What the client is told, in one sentence."""


class Agent:
    """Answers requests; `environment` is that of the server."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._account = environment.get("QUADERNO_OIDC_ACCOUNT", "infncloud")
        self._last: dict[str, Json] = {}  # the hub's answers, by audience
        self._clients = 0
        self._questions = ThreadPoolExecutor(MAX_QUESTIONS, "oidc-agent")

    async def listen(self, path: Path) -> asyncio.AbstractServer:
        """Listen at `path`, in a directory that is the user's alone; raises OSError."""
        _make_room(path)
        return await asyncio.start_unix_server(self._serve, str(path), limit=MAX_MESSAGE)

    # --- one client

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients > MAX_CLIENTS:
                raise RefusedError("Too many programs ask for tokens at once, try again")
            await self._converse(reader, writer)
        except RefusedError as error:
            writer.write(_encoded(_failure(str(error))))
        except OSError:
            pass  # the client is gone
        finally:
            self._clients -= 1
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await _read(reader, lambda data: _is_json(data) or _is_key(data))
        if not _is_here(writer):
            raise RefusedError("Tokens are for programs that run in this server")
        if first.startswith(b"{"):
            writer.write(_encoded(await self.answer(first)))
            return
        box, own_key = await asyncio.get_running_loop().run_in_executor(None, _box, first)
        writer.write(own_key)
        request = _decrypted(box, await _read(reader, _is_box))
        writer.write(_encrypted(box, _encoded(await self.answer(request))))

    async def answer(self, message: bytes) -> Json:
        """The response to one request, in the agent's own form."""
        try:
            request = json.loads(message)
            if not isinstance(request, dict):
                raise RefusedError("Bad Request: not a JSON object")
            return {"status": "success", **await self._fulfil(request)}
        except (ValueError, RecursionError):
            return _failure("Bad Request: not JSON")
        except RefusedError as error:
            return _failure(str(error))

    async def _fulfil(self, request: Json) -> Json:
        kind = request.get("request")
        if kind == "access_token":
            return await self._access_token(request)
        if kind == "loaded_accounts":
            return {"info": [self._account]}
        if kind == "account_info":
            issuer = (await self._token("", 0))["issuer"]
            return {"info": {issuer: {"pubclient": False, "accounts": {self._account: True}}}}
        if kind in ("check", "status"):
            return {"info": f"Quaderno's agent, with the account {self._account}"}
        raise RefusedError("Bad Request: this agent gives access tokens and nothing else")

    # --- tokens

    async def _access_token(self, request: Json) -> Json:
        account, issuer = _text(request, "account"), _text(request, "issuer")
        if account.startswith("http://"):  # `oidc-token` takes https alone for an issuer
            account, issuer = "", account
        if account and account != self._account:
            # liboidcagent knows this sentence from its beginning.
            raise RefusedError(
                f"No account configured with that short name; the account here is {self._account}"
            )
        if not account and not issuer:
            raise RefusedError("Bad Request: neither 'account' nor 'issuer' is given")
        audience = " ".join(_text(request, "audience").split())
        found = await self._token(audience, _seconds(request.get("min_valid_period", 0)))
        if not account and issuer.rstrip("/") != found["issuer"].rstrip("/"):
            raise RefusedError(
                f"No account configured for that issuer; {self._account} is of {found['issuer']}"
            )
        missing = set(_text(request, "scope").split()) - set(found["scope"].split())
        if missing:
            raise RefusedError(
                f"The scope {' '.join(sorted(missing))} is not granted to {self._account}, which "
                f"has: {found['scope']}"
            )
        return {name: found[name] for name in ("access_token", "issuer", "expires_at")}

    async def _token(self, audience: str, min_valid: int) -> Json:
        """The hub's answer, or its last one while it is away; raises RefusedError."""
        try:
            found = await self._asked(audience, min_valid)
        except HubUnavailableError as error:
            last = self._last.get(audience)
            if last and last["expires_at"] > time.time() + max(0, min_valid):
                return last
            raise RefusedError(error.sentence) from error
        except CredentialsError as error:
            self._last.pop(audience, None)
            raise RefusedError(error.sentence) from error
        self._last[audience] = found
        return found

    async def _asked(self, audience: str, min_valid: int) -> Json:
        seconds = _AS_LONG_AS_POSSIBLE if min_valid == FORCE_NEW else min_valid
        query = {"min_valid_period": str(seconds), **({"audience": audience} if audience else {})}
        path = f"access-token?{urllib.parse.urlencode(query)}"
        ask = functools.partial(
            credentials.ask, self._environment, path, "access tokens", HUB_TIMEOUT
        )
        question = asyncio.get_running_loop().run_in_executor(self._questions, ask)
        try:
            found = await asyncio.wait_for(question, HUB_TIMEOUT)
            types = {"access_token": str, "issuer": str, "expires_at": int, "scope": str}
            if not all(isinstance(found[name], kind) for name, kind in types.items()):
                raise TypeError
        except asyncio.TimeoutError as error:  # noqa: UP041 - not OSError's before Python 3.11
            raise HubUnavailableError(
                "the hub does not answer in time; try again in a minute"
            ) from error
        except (KeyError, TypeError) as error:
            raise CredentialsError("the hub's answer makes no sense; tell the operators") from error
        return dict(found)


def _make_room(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)


def _is_here(writer: asyncio.StreamWriter) -> bool:
    """Whether the client runs in this container.

    Modes keep other users out, but a process of the node with this user's number gets past them
    through /proc. It has no process id here: unix(7), SO_PEERCRED, and pid_namespaces(7).
    """
    peer = writer.get_extra_info("socket")
    found = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    process, _, _ = _UCRED.unpack(found)
    return bool(process)


def _text(request: Json, name: str) -> str:
    value = request.get(name) or ""
    if not isinstance(value, str):
        raise RefusedError(f"Bad Request: '{name}' must be text")
    return value


def _seconds(value: object) -> int:
    """`min_valid_period`, which clients write as a number or as text."""
    try:
        seconds = int(value)  # type: ignore[call-overload]
    except (ValueError, TypeError, OverflowError):
        raise RefusedError("Bad Request: 'min_valid_period' must be a number") from None
    return FORCE_NEW if seconds < 0 else min(seconds, _AS_LONG_AS_POSSIBLE)


def _failure(error: str) -> Json:
    return {"status": "failure", "error": error}


def _encoded(answer: Json) -> bytes:
    return json.dumps(answer).encode("ascii")


# --- messages


async def _read(reader: asyncio.StreamReader, complete: Callable[[bytes], bool]) -> bytes:
    """One message, of which only its content says where it ends; raises RefusedError."""

    async def whole() -> bytes:
        data = b""
        while not complete(data.strip()):
            more = await reader.read(MAX_MESSAGE + 1 - len(data))
            data += more
            if len(data) > MAX_MESSAGE:
                raise RefusedError("Bad Request: the message is too long")
            if not more:
                raise ConnectionResetError
        return data.strip()

    try:
        return await asyncio.wait_for(whole(), READ_TIMEOUT)
    except asyncio.TimeoutError:  # noqa: UP041 - not OSError's before Python 3.11
        raise RefusedError("Bad Request: no whole message arrived in time") from None


def _is_json(data: bytes) -> bool:
    if not (data.startswith(b"{") and data.endswith(b"}")):
        return False
    try:
        json.loads(data)
    except ValueError:
        return False
    except RecursionError:
        return True  # whole or not: it is refused
    return True


def _is_key(data: bytes) -> bool:
    return not data.startswith(b"{") and len(data) >= _base64_length(_KEY_BYTES)


def _is_box(data: bytes) -> bool:
    length, _, rest = data.partition(b":")
    if len(length) > len(str(MAX_MESSAGE)) or (length and not length.isdigit()):
        raise RefusedError("Bad Request: not an encrypted message")
    _, colon, box = rest.partition(b":")
    return bool(colon) and len(box) >= _base64_length(int(length or b"0") + _MAC_BYTES)


def _base64_length(count: int) -> int:
    return math.ceil(count / 3) * 4


def _box(client_key: bytes) -> "tuple[Any, bytes]":
    """The box for a conversation, and the public key to send; imports NaCl when first needed."""
    try:
        public = import_module("nacl.public")
    except ImportError:
        raise RefusedError("This image has no PyNaCl; run: pip install pynacl") from None
    try:
        own = public.PrivateKey.generate()
        box = public.Box(own, public.PublicKey(base64.b64decode(client_key, validate=True)))
        return box, base64.b64encode(bytes(own.public_key))
    except (ValueError, RuntimeError) as error:
        raise RefusedError("Bad Request: not a public key") from error


def _decrypted(box: Any, message: bytes) -> bytes:
    _, nonce, ciphertext = message.split(b":", 2)
    try:
        decoded = (base64.b64decode(part, validate=True) for part in (ciphertext, nonce))
        plain: bytes = box.decrypt(*decoded)
    except (import_module("nacl.exceptions").CryptoError, ValueError) as error:
        raise RefusedError("Bad Request: the message cannot be decrypted") from error
    return plain


def _encrypted(box: Any, plain: bytes) -> bytes:
    sealed = box.encrypt(plain)
    parts = (base64.b64encode(part) for part in (sealed.nonce, sealed.ciphertext))
    return b":".join([str(len(plain)).encode(), *parts])
