"""Who may come in: OpenID Connect login, groups, and tokens kept fresh.

A subclass of oauthenticator's generic one that adds discovery by issuer URL, usernames that are
safe as bucket names, and a refresh that never burns a refresh token: all renewals of one user
happen one after another, and new tokens are saved before anybody uses them.
"""

import asyncio
import json
import time
from collections import defaultdict
from contextlib import suppress
from functools import reduce
from typing import Any

from jupyterhub.handlers.static import CacheControlStaticFilesHandler
from oauthenticator.generic import GenericOAuthenticator
from tornado import web
from tornado.httpclient import HTTPClientError
from tornado.httputil import url_concat
from traitlets import Any as AnyTrait

from quaderno import names
from quaderno.config import Config
from quaderno.config.kinds import group_name
from quaderno.config.sections import Oidc
from quaderno.errors import AudienceRefusedError, LoginRequiredError, ProviderUnavailableError
from quaderno.hub import STATIC, image_check, named_servers, site_api, site_pages, usernames
from quaderno.hub.credentials import AccessTokenHandler, S3KeysHandler, look_at
from quaderno.hub.login import CallbackHandler, LoginHandler, LogoutHandler, refused
from quaderno.hub.login_state import (
    ASK_AGAIN_AFTER,
    AuthState,
    TokenAnswer,
    lasts,
    seconds_left,
)
from quaderno.hub.named_servers import NewServerHandler, SpawnPage
from quaderno.hub.neighbours import Neighbours
from quaderno.hub.rates import PersonalRates, Rates
from quaderno.hub.readiness import HealthHandler, Readiness
from quaderno.hub.server_log import LogHandler
from quaderno.hub.stopping import CancelHandler, NoticeHandler, ServerHandler, WorkareaHandler
from quaderno.hub.storage import CleanUpHandler, RefreshHandler, StorageHandler, TakeOverHandler
from quaderno.hub.vouching import StoreKeysHandler, Voucher
from quaderno.storage import trust
from quaderno.storage.sts import Keys, assume_role

DISCOVERY_MAX_AGE = 3600
# Seconds for which a provider that answered counts as there when somebody wants to log in.
ANSWERED_LATELY = 2

_LONGEST = 255  # characters of a group's name, in JupyterHub's database


class QuadernoAuthenticator(GenericOAuthenticator):
    """Login at any OpenID Connect provider."""

    quaderno: Config = AnyTrait(config=True, help="The instance's settings.")
    # Seconds that anything waits for the provider which can do without its answer; what is kept is
    # served before whoever asks for credentials hears that the provider is slow (ANSWER_WITHIN).
    patience = 2.5
    login_handler = LoginHandler
    callback_handler = CallbackHandler
    logout_handler = LogoutHandler
    neighbours: Neighbours | None = None  # the other sites, if there are any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._discovered_at: float | None = None
        self._end_session_url: str | None = None
        self._asked_at: dict[str, float] = {}
        self._questions: dict[str, asyncio.Future[Any]] = {}
        self._for_audiences: dict[tuple[str, frozenset[str]], AuthState] = {}
        self._voucher = Voucher(self.quaderno)

    def _rates(self) -> PersonalRates:
        """A person's together: of all servers that they may have, and of one program elsewhere."""
        each = self.quaderno.hub.credentials_per_minute
        sources = 1 + self.quaderno.servers.named_limit + 1
        return PersonalRates(Rates(each), Rates(sources * each))

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        readiness = Readiness(self.quaderno)
        keys, access_tokens = ({"rates": self._rates()} for _ in range(2))
        return [
            *super().get_handlers(app),
            *self._site_handlers(readiness),
            (r"/quaderno/health", HealthHandler, {"readiness": readiness}),
            (r"/quaderno/static/(.*)", CacheControlStaticFilesHandler, {"path": str(STATIC)}),
            (r"/api/quaderno/users/([^/]+)/s3-keys", S3KeysHandler, keys),
            (r"/api/quaderno/users/([^/]+)/access-token", AccessTokenHandler, access_tokens),
            (trust.HUB_KEYS.removeprefix("/hub"), StoreKeysHandler, {"voucher": self._voucher}),
            (r"/api/quaderno/users/([^/]+)/storage", StorageHandler),
            (r"/api/quaderno/users/([^/]+)/storage/refresh", RefreshHandler),
            (r"/api/quaderno/users/([^/]+)/storage/clean-up", CleanUpHandler),
            (r"/api/quaderno/users/([^/]+)/log", LogHandler),
            (
                r"/api/quaderno/users/([^/]+)/image-check",
                image_check.ImageCheckHandler,
                {"rates": Rates(image_check.PER_MINUTE)},
            ),
            (r"/api/quaderno/users/([^/]+)/workarea", WorkareaHandler),
            (r"/api/quaderno/users/([^/]+)/workarea/notice", NoticeHandler),
            # In the place of JupyterHub's, which come later.
            (r"/api/users/([^/]+)/server", ServerHandler),
            (r"/api/users/([^/]+)/servers/([^/]*)", ServerHandler),
            (r"/quaderno/new-server", NewServerHandler),
            (r"/quaderno/cancel/([^/]+)/([^/]*)", CancelHandler),
            *((path, SpawnPage) for path in named_servers.SPAWN_PAGES),
            (r"/api/quaderno/users/([^/]+)/storage/take-over", TakeOverHandler),
        ]

    def _site_handlers(self, readiness: Readiness) -> list[tuple[Any, ...]]:
        """None, where there is just this instance."""
        if not self.quaderno.sites.here:
            return []
        here = site_api.Here(self.quaderno, readiness)
        self.neighbours = Neighbours(here, self.log)
        return [*site_api.handlers(here), *site_pages.handlers(self.neighbours)]

    async def discover(self, *, fresh: bool = False) -> None:
        """Read the provider's endpoints (OpenID Connect Discovery 1.0, section 4).

        Raises ProviderUnavailableError when it does not answer and was never known, or, with
        `fresh`, when it does not answer now.
        """
        now = time.monotonic()
        max_age = ANSWERED_LATELY if fresh else DISCOVERY_MAX_AGE
        if self._discovered_at is not None and now - self._discovered_at < max_age:
            return
        issuer = self.quaderno.issuer
        try:
            found = await self.httpfetch(
                f"{issuer.rstrip('/')}/.well-known/openid-configuration", "discovering the provider"
            )
        except (HTTPClientError, OSError, ValueError) as error:
            if self._discovered_at is not None and not fresh:
                return
            raise ProviderUnavailableError(f"{issuer}: {error}") from error
        if found.get("issuer", "").rstrip("/") != issuer.rstrip("/"):
            raise ProviderUnavailableError(f"{issuer} says it is {found.get('issuer')!r}")
        self.authorize_url = found["authorization_endpoint"]
        self.token_url = found["token_endpoint"]
        self.userdata_url = found["userinfo_endpoint"]
        self._end_session_url = found.get("end_session_endpoint")
        self._discovered_at = now

    async def logout_address(self) -> str | None:
        """Where a browser ends its login at the provider (OpenID Connect RP-Initiated Logout 1.0);
        None where there is no such page, or the provider does not answer and was never known.

        Without `id_token_hint`, for which a provider may ask once more whether it is wanted: the
        store takes identity tokens, so they go through no page and no address bar.
        """
        with suppress(ProviderUnavailableError, TimeoutError):
            async with asyncio.timeout(self.patience):
                await self.discover()
        if self._end_session_url is None:
            return None
        wish = {"client_id": self.quaderno.oidc.client_id}
        if self.quaderno.iam.embedded or self.quaderno.oidc.returns_after_logout:
            wish["post_logout_redirect_uri"] = f"{self.quaderno.public_url}/hub/login"
        return url_concat(self._end_session_url, wish)

    # --- who it is

    def user_info_to_username(self, user_info: dict[str, Any]) -> str:
        """Raises UnnamedError, and HTTP 403 for a name that cannot be used here."""
        return usernames.from_claims(self.quaderno, user_info)

    async def get_user_groups(self, auth_state: AuthState) -> set[str]:
        """The groups claim, which may be nested (`realm_access.roles`); of what it says, only what
        can be a group's name."""
        claims = auth_state[self.user_auth_state_key]
        path = self.quaderno.oidc.groups_claim
        found = claims.get(path)
        if found is None:
            found = reduce(
                lambda value, key: value.get(key) if isinstance(value, dict) else None,
                path.split("."),
                claims,
            )
        if not isinstance(found, list):
            return set()
        named = {group for group in found if isinstance(group, str) and group.strip("/")}
        return {group_name(each) for each in named if len(each) < _LONGEST and each.isprintable()}

    async def check_allowed(self, username: str, auth_model: dict[str, Any] | None) -> bool:
        """By group, or by the provider's own name for somebody, which stays the same."""
        if await super().check_allowed(username, auth_model):
            return True
        claims = (auth_model or {}).get("auth_state", {}).get(self.user_auth_state_key) or {}
        return claims.get("sub") in self.quaderno.oidc.allowed_subjects

    # --- tokens

    async def get_token_info(self, handler: Any, params: dict[str, Any]) -> TokenAnswer:
        """The token endpoint's answer with `obtained_at` and `expires_at`, in Unix seconds."""
        answer: TokenAnswer = await super().get_token_info(handler, params)
        now = time.time()
        answer["obtained_at"] = now
        answer["expires_at"] = now + float(answer.get("expires_in") or 0)
        return answer

    async def fresh_auth_state(self, user: Any, min_valid: float = 0) -> AuthState:
        """The user's tokens, the access token with `min_valid` and RENEW_AHEAD seconds left.

        Renews once, however many ask at the same time, and not again within a minute to please
        who wants a longer life than tokens have. While the provider is unreachable, or after
        `patience` seconds without its answer, a token that is still valid is served.

        Raises LoginRequiredError or ProviderUnavailableError.
        """
        task = asyncio.ensure_future(self._fresh(user, min_valid))
        done, _ = await asyncio.wait([task], timeout=self.patience)
        if not done:  # what it renews is kept all the same
            kept: AuthState | None = await user.get_auth_state()
            if kept and seconds_left(kept) > 0:
                task.add_done_callback(look_at)
                return kept
        return await asyncio.shield(task)

    async def _fresh(self, user: Any, min_valid: float) -> AuthState:
        async with self._locks[user.name]:
            state: AuthState | None = await user.get_auth_state()
            if not state:
                raise LoginRequiredError(user.name)
            if lasts(state, min_valid):
                return state
            left = seconds_left(state)
            try:
                return await self._renew(user, state)
            except ProviderUnavailableError:
                if left > 0:
                    self.log.warning(
                        "The identity provider does not answer; %s's token lasts %i s more",
                        user.name,
                        left,
                    )
                    return state
                raise

    def s3_keys(self, user: Any, state: AuthState) -> Keys:
        """Keys of `user`, whose fresh tokens are `state`: for a plain name the store takes the
        provider's word, for a mapped one ours. Blocking.

        Raises LoginRequiredError when they are not the tokens of somebody by that name, and
        StorageError.
        """
        if not names.is_mapped(user.name):
            return assume_role(self.quaderno, state["access_token"], user.name)
        self._is_theirs(user, state)
        token = self._voucher.token(user.name)
        return assume_role(self.quaderno, token, user.name, self.quaderno.mapped_role_arn)

    def guest_keys(self, user: Any, state: AuthState) -> Keys:
        """The same for what others share with `user`."""
        self._is_theirs(user, state)
        token = self._voucher.guest_token(user.name)
        return assume_role(self.quaderno, token, user.name, self.quaderno.guest_role_arn)

    def _is_theirs(self, user: Any, state: AuthState) -> None:
        if self.user_info_to_username(state[self.user_auth_state_key]) != user.name:
            raise LoginRequiredError(user.name)

    async def auth_state_for(self, user: Any, names: frozenset[str], min_valid: float) -> AuthState:
        """The same with an access token for the audiences `names`, if the provider heeds INDIGO
        IAM's parameter `audience` or RFC 8707's `resource`; kept as long as it lasts.

        Of the user's other tokens, this renews the one that renews. Raises AudienceRefusedError,
        too.
        """
        async with self._locks[user.name]:
            kept = self._for_audiences.get((user.name, names))
            if kept and lasts(kept, min_valid):
                return kept
            state: AuthState | None = await user.get_auth_state()
            if not state:
                raise LoginRequiredError(user.name)
            asked = {"audience": " ".join(sorted(names))}
            if len(names) == 1 and "://" in asked["audience"]:
                asked["resource"] = asked["audience"]
            tokens = await self._refreshed(user, state, asked)
            spent = {"refresh_token": tokens["refresh_token"]}
            response = {**state["token_response"], **spent, "obtained_at": tokens["obtained_at"]}
            await user.save_auth_state({**state, **spent, "token_response": response})
            given: AuthState = self.build_auth_state_dict(tokens, {})
            self._for_audiences[user.name, names] = given
            return given

    async def _renew(self, user: Any, state: AuthState) -> AuthState:
        tokens = await self._refreshed(user, state, {})
        user_info = state[self.user_auth_state_key]
        renewed: AuthState = self.build_auth_state_dict(tokens, user_info)
        await user.save_auth_state(renewed)
        return renewed

    async def _refreshed(self, user: Any, state: AuthState, asked: dict[str, str]) -> TokenAnswer:
        """The provider's answer to the refresh token, with the one to use from now on."""
        refresh_token = state.get("refresh_token")
        if not refresh_token:
            raise LoginRequiredError(user.name)
        await self.discover()
        params = self.build_refresh_token_request_params(refresh_token) | asked
        try:
            tokens: TokenAnswer = await self.get_token_info(None, params)
        except (HTTPClientError, OSError) as error:
            if asked and _is_invalid_target(error):
                raise AudienceRefusedError(asked["audience"]) from error
            if refused(error):
                raise LoginRequiredError(user.name) from error
            raise ProviderUnavailableError(str(error)) from error
        tokens.setdefault("refresh_token", refresh_token)
        return tokens

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> Any:
        """Ask the provider who this is now, and in which groups; at most once a minute.

        False when the person must log in again. A provider that does not answer changes nothing:
        what runs goes on. Nobody waits longer than `patience` for it; what it says later counts the
        next time.
        """
        # JupyterHub 6.1.1 sets it where a token was shown, and reads it of each browser whose login
        # has ended: without it, that is a trace in the log.
        if handler is not None and not hasattr(handler, "_token_authenticated"):
            handler._token_authenticated = False
        question = self._questions.get(user.name)
        if question is None:
            asked_at = self._asked_at.get(user.name, float("-inf"))
            if time.monotonic() - asked_at < good_for(self.quaderno.oidc):
                return True
            question = self._questions[user.name] = asyncio.ensure_future(self._who(user))
        await asyncio.wait([question], timeout=self.patience)
        if not question.done():
            self.log.warning("The identity provider takes long; %s stays as known", user.name)
            return True
        self._questions.pop(user.name, None)
        answer = question.result()
        if not answer:
            user._auth_refreshed = None  # whoever asked: it counts for the next thing they do
        return answer

    async def _who(self, user: Any) -> Any:
        """As `refresh_user`, however long it takes."""
        try:
            await self.discover()
            state = await self.fresh_auth_state(user)
            model = await self._token_to_auth_model(state["token_response"])
            if not await self.check_allowed(user.name, model):
                return False
        except (LoginRequiredError, web.HTTPError):
            return False
        except (ProviderUnavailableError, HTTPClientError, OSError, ValueError, KeyError) as error:
            if refused(error):
                return False
            self.log.warning("Cannot refresh %s, keeping what is known: %s", user.name, error)
            return True
        self._asked_at[user.name] = time.monotonic()
        return model


def good_for(oidc: Oidc) -> int:
    """Seconds for which an answer of the provider is not asked for again. JupyterHub's
    `auth_refresh_age` begins after it, so the two together are `recheck`."""
    return min(ASK_AGAIN_AFTER, oidc.recheck // 2)


def _is_invalid_target(error: BaseException) -> bool:
    """Whether the provider's error (RFC 6749, 5.2) is the one of RFC 8707 about an audience."""
    body = error.response.body if isinstance(error, HTTPClientError) and error.response else b""
    try:
        return bool(json.loads(body)["error"] == "invalid_target")
    except (ValueError, KeyError, TypeError):
        return False
