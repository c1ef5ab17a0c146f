"""Hub handlers that hand out what expires soon: S3 keys and access tokens.

A server's token gets its own user's. The node agent's token gets any user's S3 keys, and no access
token. Nobody gets an identity token, a refresh token or a client secret.
"""

import asyncio
import json
import math
import re
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

import jwt
from jupyterhub.orm import Service
from tornado import web

from quaderno.config import Config
from quaderno.errors import (
    AudienceRefusedError,
    LoginRequiredError,
    ProviderUnavailableError,
    StorageError,
    StorageRefusedError,
)
from quaderno.hub.rates import PersonalRates
from quaderno.hub.scoped import ACCESS_TOKEN_SCOPE, S3_KEYS_SCOPE, ScopedHandler, login_ended
from quaderno.storage import sts

T = TypeVar("T")

# Seconds until who asks hears that the provider or the store is slow; servers wait six.
ANSWER_WITHIN = 5
PROVIDER, STORE = "identity provider", "object store"
# A store that hangs keeps these threads and no others of the hub.
_STORE_THREADS = ThreadPoolExecutor(8, "sts")


class TooOftenError(web.HTTPError):
    """Whoever asks must wait, in seconds."""

    def __init__(self, what: str, wait: int) -> None:
        words = f"Asked too often for {what}: wait {wait} s."
        super().__init__(HTTPStatus.TOO_MANY_REQUESTS, words)
        self.headers = {"Retry-After": str(wait)}


class CredentialsHandler(ScopedHandler):
    """What both kinds have in common.

    For tokens only: what a page of some server could open in a browser must not show any.
    """

    _accept_cookie_auth = False

    def initialize(self, rates: PersonalRates) -> None:
        self._rates = rates
        self._asking = PROVIDER

    def _admit(self, username: str) -> Any:
        """The user whose credentials are asked for. Raises HTTP 403, 404 or 429."""
        user = self._find(username)
        token, asks = self.get_token(), self.current_user
        person = None if isinstance(asks, Service) else asks.name
        wait = math.ceil(self._rates.wait((token and token.id, username), person))
        if wait:
            self.log.warning("Too many questions of %s for %s", self._client(), self.what)
            raise TooOftenError(self.what, wait)
        return user

    async def _in_time(self, work: Awaitable[T]) -> T:
        """The result of `work`, which goes on when it is late: what the provider renews must be
        kept even if nobody waits for it. Raises HTTP 503, and what `work` does."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait([task], timeout=ANSWER_WITHIN)
        if not done:
            task.add_done_callback(look_at)
            self.log.warning("No %s: the %s is slow", self.what, self._asking)
            raise self._away()
        return task.result()

    def _away(self) -> web.HTTPError:
        words = f"The {self._asking} does not answer now: try again in a moment."
        return web.HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, words)

    @contextmanager
    def _refusing(self, username: str) -> Iterator[None]:
        """Turns what went wrong into an answer with one sentence."""
        try:
            yield
        except LoginRequiredError as error:
            raise login_ended(username) from error
        except StorageRefusedError as error:
            self.log.error("No %s for %s: %s", self.what, username, error)
            raise web.HTTPError(
                HTTPStatus.FORBIDDEN, "The object store refused this login: log in again."
            ) from error
        except (ProviderUnavailableError, StorageError) as error:
            self.log.warning("No %s for %s now: %s", self.what, username, error)
            raise self._away() from error

    def _client(self) -> str:
        """Who asked: a service, or what a person's token is for (its note names the server)."""
        if isinstance(self.current_user, Service):
            return f"service {self.current_user.name}"
        note = str(getattr(self.get_token(), "note", None) or "a token without a note")
        return "".join(c if c.isprintable() else "?" for c in note)  # one line, whatever it is

    def _hand_out(self, answer: dict[str, Any]) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write(answer)


class S3KeysHandler(CredentialsHandler):
    """`GET /hub/api/quaderno/users/{name}/s3-keys`: keys in the form that AWS SDKs expect of a
    container credentials provider (AccessKeyId, SecretAccessKey, Token, Expiration). The node
    agent also gets Quota, in bytes, for it does not know the person's groups. `?as=guest`: those
    that open what others share with them, where that can be.
    """

    scope = S3_KEYS_SCOPE
    what = "S3 keys"

    async def get(self, username: str) -> None:
        user = self._admit(username)
        with self._refusing(username):
            keys = await self._in_time(self._keys(user))
        self.log.info("S3 keys of %s for %s", username, self._client())
        answer: dict[str, Any] = dict(keys.container_credentials())
        if isinstance(self.current_user, Service):
            groups = [group.name for group in user.groups]
            answer["Quota"] = self.authenticator.quaderno.store.quota_of(groups)
        self._hand_out(answer)

    async def _keys(self, user: Any) -> sts.Keys:
        state = await self.authenticator.fresh_auth_state(user)
        self._asking = STORE
        get = self.authenticator.s3_keys
        if self.get_query_argument("as", "") == "guest":
            if not self.authenticator.quaderno.shares_buckets:
                raise web.HTTPError(HTTPStatus.NOT_FOUND, "This service shares no buckets.")
            get = self.authenticator.guest_keys
        return await asyncio.get_running_loop().run_in_executor(_STORE_THREADS, get, user, state)


class AccessTokenHandler(CredentialsHandler):
    """`GET /hub/api/quaderno/users/{name}/access-token?audience=A&min_valid_period=SECONDS`:
    an access token as the provider issued it.

    The answer is JSON with `access_token`, `issuer`, `expires_at` (Unix seconds) and `scope`
    (separated by spaces). `audience` may name several, separated by spaces (oidc-agent's form).
    """

    scope = ACCESS_TOKEN_SCOPE
    what = "access tokens"

    async def get(self, username: str) -> None:
        user = self._admit(username)
        config: Config = self.authenticator.quaderno
        wanted = self.get_query_argument("audience", "").split()
        min_valid = self._min_valid()
        if not set(wanted) <= set(config.oidc.audiences):
            self._refuse_audience(username, wanted, "is not among those that may be asked for")
        with self._refusing(username):
            state = await self._in_time(self.authenticator.fresh_auth_state(user, min_valid))
            if not set(wanted) <= audiences(state["access_token"]):
                state = await self._for(user, wanted, min_valid)
        token = state["access_token"]
        if not set(wanted) <= audiences(token):
            self._refuse_audience(username, wanted, "is not in the token that the provider issued")
        self.log.info(
            "Access token of %s for %s, audience %s",
            username, self._client(), json.dumps(wanted) if wanted else "as issued",
        )  # fmt: skip
        granted = [scope for scope in state.get("scope") or () if scope]
        self._hand_out(
            {
                "access_token": token,
                "issuer": config.issuer,
                "expires_at": int(state["token_response"]["expires_at"]),
                # A provider that does not say granted what was asked for (RFC 6749, 5.1).
                "scope": " ".join(granted or config.oidc.scopes),
            }
        )

    async def _for(self, user: Any, wanted: list[str], min_valid: int) -> dict[str, Any]:
        """Tokens whose access token is for another audience than those of the login."""
        asking = self.authenticator.auth_state_for(user, frozenset(wanted), min_valid)
        try:
            state: dict[str, Any] = await self._in_time(asking)
        except AudienceRefusedError:
            self._refuse_audience(user.name, wanted, "is refused by the identity provider")
        return state

    def _min_valid(self) -> int:
        """Seconds of life that the token must have."""
        text = self.get_query_argument("min_valid_period", "0")
        if not re.fullmatch("[0-9]{1,18}", text, re.ASCII):
            raise web.HTTPError(
                HTTPStatus.BAD_REQUEST, "min_valid_period must be a number of seconds."
            )
        return int(text)

    def _refuse_audience(self, username: str, wanted: list[str], why: str) -> NoReturn:
        names = json.dumps(" ".join(wanted)[:200])  # what a log line can hold
        self.log.warning(
            "No access token of %s for %s: audience %s %s", username, self._client(), names, why
        )
        raise web.HTTPError(HTTPStatus.FORBIDDEN, f"The audience {names} {why}.")


def look_at(task: "asyncio.Future[Any]") -> None:
    """Its failure was told already, as being late."""
    task.cancelled() or task.exception()


def audiences(token: str) -> set[str]:
    """Whom an access token is for (RFC 7519, 4.1.3); nobody known when it is not a JWT."""
    try:
        found = jwt.decode(token, options={"verify_signature": False}).get("aud", ())
    except jwt.InvalidTokenError:
        return set()
    return {found} if isinstance(found, str) else {name for name in found if isinstance(name, str)}
