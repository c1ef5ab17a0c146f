"""What the hub needs of a provider, of every one that passes: the embedded, and an independent one
whose claims, and the lives of whose tokens, are those of INDIGO IAM (two profiles) and of Keycloak.

Keycloak's are what version 26.7 answers as it comes, with the mappers of `providers.md`."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from oauthenticator.oauth2 import _serialize_state
from oidc_provider_mock import User, run_server_in_thread

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.config.sections import Oidc
from quaderno.hub.authenticator import QuadernoAuthenticator
from tests.contract.identity_fixtures import (
    PATIENCE,
    Browser,
    Request,
    answer,
    consent_page,
    post,
    running_provider,
)
from tests.contract.test_authenticator import Person, authenticator

# Of the independent one, which calls its library in the way of an earlier version.
pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")

HOUR, FIVE_MINUTES = timedelta(hours=1), timedelta(minutes=5)
# The groups claim, what somebody in /dev/ml and in /other has in their claims, and for how long.
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, Any], timedelta]] = {
    "INDIGO IAM, WLCG profile": (
        "wlcg.groups",
        {"wlcg.groups": ["/dev", "/dev/ml"]},
        {"wlcg.groups": ["/other"]},
        HOUR,
    ),
    "INDIGO IAM": ("groups", {"groups": ["dev", "dev/ml"]}, {"groups": ["other"]}, HOUR),
    "Keycloak": ("groups", {"groups": ["/dev/ml"]}, {"groups": ["/other"]}, FIVE_MINUTES),
    "Keycloak, realm roles": (
        "realm_access.roles",
        {"realm_access": {"roles": ["offline_access", "dev/ml"]}},
        {"realm_access": {"roles": ["offline_access", "other"]}},
        FIVE_MINUTES,
    ),
}
SUBJECT = "73f16d93-2441-4a50-88ff-85360d78c6b5"


@dataclass
class Tried:
    """A provider: how somebody logs in there, is put into other groups, and is removed."""

    config: Config
    code: Callable[[], tuple[str, str]]  # and the verifier that it is bound to
    move: Callable[[], None]
    remove: Callable[[], None]


class Callback:
    """What the authenticator asks of the request that comes back with a code."""

    def __init__(self, code: str, verifier: str) -> None:
        self._code, self._state = code, _serialize_state({"code_verifier": verifier})

    def get_argument(self, name: str, default: Any = None) -> Any:
        return {"code": self._code}.get(name, default)

    def get_state_cookie(self) -> str:
        return str(self._state)


@contextmanager
def _embedded(directory: Path) -> Iterator[Tried]:
    with running_provider(directory) as provider:

        def code() -> tuple[str, str]:
            request = Request.new(provider)
            with Browser(provider) as browser:
                page = consent_page(browser, request.url())
                return answer(browser.submit(page, action="grant"))["code"], request.verifier

        def manage(*arguments: str) -> None:
            done = provider.manage(*arguments)
            assert done.returncode == 0, done.stderr

        yield Tried(
            provider.config,
            code,
            lambda: manage("change_group", "remove", "/dev/ml", "ada"),
            lambda: manage("change_user", "disable", "ada", "--reason", "gone"),
        )


@contextmanager
def _independent(directory: Path, form: str) -> Iterator[Tried]:
    claim, member, other, life = FORMS[form]
    config = configuration.generate(directory)
    known = {"preferred_username": "ada", "email": "ada@example.org"}
    ada = User(sub=SUBJECT, claims={**known, **member})
    with run_server_in_thread(user_claims=[ada], access_token_max_age=life) as server:
        issuer = f"http://localhost:{server.server_port}"
        settings = config.oidc.model_dump() | {
            "issuer": issuer,
            "groups_claim": claim,
            "scopes": ["openid", "profile", "email"],
        }
        config = config.model_copy(update={"oidc": Oidc.model_validate(settings)})

        def code() -> tuple[str, str]:
            asked = {
                "response_type": "code",
                "client_id": config.oidc.client_id,
                "redirect_uri": f"{config.public_url}/hub/oauth_callback",
                "scope": " ".join(config.oidc.scopes),
                "state": "s",
            }
            url = httpx.URL(f"{issuer}/oauth2/authorize", params=asked)
            back = post(url, data={"sub": SUBJECT})
            return parse_qs(urlsplit(back.headers["location"]).query)["code"][0], "v" * 43

        def move() -> None:
            moved = httpx.put(
                f"{issuer}/users/{SUBJECT}", json={**known, **other}, timeout=PATIENCE
            )
            assert moved.is_success, moved.text

        def remove() -> None:
            assert post(f"{issuer}/users/{SUBJECT}/revoke-tokens").is_success

        yield Tried(config, code, move, remove)


@pytest.fixture(params=["embedded", *FORMS])
def tried(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tried]:
    embedded = request.param == "embedded"
    made = _embedded(tmp_path) if embedded else _independent(tmp_path, request.param)
    with made as provider:
        yield provider


def hub(provider: Tried) -> QuadernoAuthenticator:
    """One that admits /dev/ml alone."""
    return authenticator(
        provider.config,
        allow_all=False,
        allowed_groups={"/dev/ml"},
        oauth_callback_url=f"{provider.config.public_url}/hub/oauth_callback",
    )


async def logged_in(hub: QuadernoAuthenticator, provider: Tried) -> tuple[dict[str, Any], Person]:
    """Through the hub's own code, from the provider's answer on; what the hub knows then."""
    await hub.discover()
    model = await hub.authenticate(Callback(*provider.code()))
    return model, Person(model["name"], model["auth_state"])


def test_from_a_login_to_a_removal(tried: Tried) -> None:
    """In one story, for each needs the login before."""

    async def story() -> None:
        hub_ = hub(tried)
        model, ada = await logged_in(hub_, tried)
        assert model["name"] == "ada"
        assert "/dev/ml" in model["groups"]
        assert await hub_.check_allowed("ada", model)

        await asyncio.gather(*(hub_.fresh_auth_state(ada) for _ in range(50)))
        assert not ada.saved, "they are new"
        assert ada.state
        response = ada.state["token_response"]
        response["expires_at"] = response["obtained_at"] - 1
        states = await asyncio.gather(*(hub_.fresh_auth_state(ada) for _ in range(50)))
        assert len({state["access_token"] for state in states}) == 1
        assert len(ada.saved) == 1, "they were renewed once, for all"

        refreshed = await hub_.refresh_user(ada)
        assert refreshed["name"] == "ada"
        tried.move()
        hub_._asked_at.clear()
        assert await hub_.refresh_user(ada) is False, "in no group that is admitted"
        everybodys = authenticator(tried.config)
        assert await everybodys.refresh_user(ada), "still known"
        tried.remove()
        everybodys._asked_at.clear()
        assert await everybodys.refresh_user(ada) is False, "unknown"

    asyncio.run(story())


@pytest.mark.parametrize("returns", [False, True])
def test_who_logs_out_comes_back_where_the_provider_allows_it(
    tmp_path: Path, returns: bool
) -> None:
    """Keycloak refuses the whole logout for an address that it does not know."""
    with _independent(tmp_path, "Keycloak") as keycloak:
        oidc = keycloak.config.oidc.model_copy(update={"returns_after_logout": returns})
        iam = keycloak.config.iam.model_copy(update={"embedded": False})
        config = keycloak.config.model_copy(update={"oidc": oidc, "iam": iam})
        address = asyncio.run(authenticator(config).logout_address())
    assert address
    wish = parse_qs(urlsplit(address).query)
    assert wish.pop("client_id") == [config.oidc.client_id]
    back = {"post_logout_redirect_uri": [f"{config.public_url}/hub/login"]}
    assert wish == (back if returns else {}), "and no identity token"


def test_a_code_is_good_once(tried: Tried) -> None:
    async def twice() -> None:
        hub_ = hub(tried)
        await hub_.discover()
        code = tried.code()
        assert await hub_.authenticate(Callback(*code))
        with pytest.raises(Exception, match=r"HTTP 4\d\d|access token was not returned"):
            await hub_.authenticate(Callback(*code))

    asyncio.run(twice())
