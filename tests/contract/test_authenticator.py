"""The hub's authenticator against the real embedded identity provider: tokens kept fresh."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tornado import web

from quaderno import names
from quaderno.config import Config
from quaderno.errors import LoginRequiredError, ProviderUnavailableError
from quaderno.hub.authenticator import QuadernoAuthenticator
from quaderno.hub.credentials import ANSWER_WITHIN
from quaderno.hub.login_state import RENEW_AHEAD, AuthState, keep_newest_tokens
from quaderno.hub.usernames import UnnamedError
from tests.contract.identity_fixtures import Provider
from tests.ports import free_ports


@dataclass
class Person:
    """What the authenticator needs of JupyterHub's user: a name and a place for tokens."""

    name: str
    state: AuthState | None
    saved: list[AuthState] = field(default_factory=list)

    async def get_auth_state(self) -> AuthState | None:
        await asyncio.sleep(0)
        return self.state

    async def save_auth_state(self, state: AuthState) -> None:
        await asyncio.sleep(0)
        self.state = state
        self.saved.append(state)


def authenticator(config: Config, **traits: Any) -> QuadernoAuthenticator:
    """As jupyterhub_config.py sets it up."""
    settings = {
        "quaderno": config,
        "client_id": config.oidc.client_id,
        "client_secret": config.oidc.client_secret.get_secret_value(),
        "basic_auth": True,
        "enable_auth_state": True,
        "manage_groups": True,
        "allow_all": True,
        "username_claim": config.oidc.username_claim,
        "scope": config.oidc.scopes,
    }
    made = QuadernoAuthenticator(**{**settings, **traits})
    made.patience = 60  # this machine may be busy
    return made


def person(tokens: dict[str, Any], seconds_left: float) -> Person:
    """Somebody with `tokens`, whose access token has `seconds_left`."""
    now = time.time()
    response = {**tokens, "obtained_at": now - 60, "expires_at": now + seconds_left}
    state = {
        "access_token": tokens["access_token"],
        "refresh_token": tokens["refresh_token"],
        "token_response": response,
        "oauth_user": {"preferred_username": "ada"},
    }
    return Person("ada", state)


def somewhere_else(config: Config) -> Config:
    """The same settings with a provider that does not answer."""
    iam = config.iam.model_copy(update={"public_url": f"http://127.0.0.1:{free_ports(1)}"})
    return config.model_copy(update={"iam": iam})


def test_fifty_at_once_make_one_refresh(provider: Provider, tokens: dict[str, Any]) -> None:
    ada = person(tokens, seconds_left=10)

    async def ask() -> list[AuthState]:
        hub = authenticator(provider.config)
        return await asyncio.gather(*(hub.fresh_auth_state(ada) for _ in range(50)))

    states = asyncio.run(ask())
    assert {state["access_token"] for state in states} == {ada.saved[0]["access_token"]}
    assert len(ada.saved) == 1
    assert provider.claims(states[0]["access_token"])["preferred_username"] == "ada"
    # The new refresh token works, so the rotation lost nothing.
    again = provider.token(grant_type="refresh_token", refresh_token=ada.saved[0]["refresh_token"])
    assert again.status_code == 200


def test_a_token_with_life_left_is_used_as_it_is(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    ada = person(tokens, seconds_left=3000)
    state = asyncio.run(_fresh(provider.config, ada))
    assert state["access_token"] == tokens["access_token"]
    assert ada.saved == []


def test_a_short_life_is_used_for_half_of_it(provider: Provider, tokens: dict[str, Any]) -> None:
    """Of Keycloak's five minutes: no question renews what is new."""
    short = {**tokens, "expires_in": 300}
    ada = person(short, seconds_left=160)
    assert asyncio.run(_fresh(provider.config, ada))["access_token"] == tokens["access_token"]
    asyncio.run(_fresh(provider.config, person(short, seconds_left=140)))
    again = provider.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert again.status_code == 400, "the second question has spent it"


def test_who_wants_more_life_than_tokens_have_gets_one_renewal(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    ada = person(tokens, seconds_left=3000)

    async def ask() -> list[AuthState]:
        hub = authenticator(provider.config)
        return [await hub.fresh_auth_state(ada, 10**6) for _ in range(3)]

    states = asyncio.run(ask())
    assert {state["access_token"] for state in states} == {ada.saved[0]["access_token"]}
    assert len(ada.saved) == 1
    assert states[0]["access_token"] != tokens["access_token"]


def test_a_dead_refresh_token_asks_for_a_login(provider: Provider, tokens: dict[str, Any]) -> None:
    provider.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    with pytest.raises(LoginRequiredError):
        asyncio.run(_fresh(provider.config, person(tokens, seconds_left=10)))


def test_nobody_without_tokens_is_asked_about(provider: Provider) -> None:
    with pytest.raises(LoginRequiredError):
        asyncio.run(_fresh(provider.config, Person("ada", None)))


def test_a_provider_that_is_away_changes_nothing_while_tokens_last(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    away = somewhere_else(provider.config)
    ada = person(tokens, seconds_left=100)
    assert asyncio.run(_fresh(away, ada))["access_token"] == tokens["access_token"]
    assert asyncio.run(_refresh(away, ada)) is True
    with pytest.raises(ProviderUnavailableError):
        asyncio.run(_fresh(away, person(tokens, seconds_left=-1)))


@pytest.mark.parametrize("life", [3600, 300], ids=["an hour", "Keycloak's five minutes"])
def test_two_minutes_without_the_provider_go_unnoticed(
    provider: Provider, tokens: dict[str, Any], life: int
) -> None:
    """At the worst moment, when the token was to be renewed; it is renewed once, afterwards."""
    away = somewhere_else(provider.config)
    ahead = min(RENEW_AHEAD, life / 2)
    ada = person({**tokens, "expires_in": life}, ahead)

    async def ask() -> None:
        hub = authenticator(away)
        for second in range(0, 120, 5):
            assert ada.state
            ada.state["token_response"]["expires_at"] = time.time() + ahead - second
            assert await hub.refresh_user(ada) is True
            assert (await hub.fresh_auth_state(ada))["access_token"] == tokens["access_token"]
        hub = authenticator(provider.config)
        states = [await hub.fresh_auth_state(ada) for _ in range(3)]
        assert {state["access_token"] for state in states} == {ada.saved[0]["access_token"]}

    asyncio.run(ask())
    assert len(ada.saved) == 1


def test_what_is_kept_is_served_before_anybody_gives_up_on_a_silent_provider() -> None:
    """With time left for the store, whose keys are asked for with it."""
    assert QuadernoAuthenticator.patience <= ANSWER_WITHIN / 2


@asynccontextmanager
async def silent_provider(config: Config) -> AsyncIterator[Config]:
    """The same settings with a provider that takes every question and answers none."""
    over = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        iam = config.iam.model_copy(update={"public_url": url})
        yield config.model_copy(update={"iam": iam})
        over.set()


def test_nobody_waits_for_a_provider_that_is_silent_while_tokens_last(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    """Even if it would take for ever to find out that it is."""

    async def ask() -> None:
        async with silent_provider(provider.config) as config:
            hub = authenticator(config, http_request_kwargs={"request_timeout": 10**6})
            hub.patience = 0.1
            ada = person(tokens, seconds_left=100)
            states = await asyncio.gather(*(hub.fresh_auth_state(ada) for _ in range(20)))
            assert {state["access_token"] for state in states} == {tokens["access_token"]}
            assert [await hub.refresh_user(ada) for _ in range(3)] == [True] * 3

    asyncio.run(ask())


def test_what_the_provider_says_late_counts_the_next_time(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> None:
        hub, answers = authenticator(provider.config), asyncio.Event()
        hub.patience = 0.1
        asked = []

        async def who(user: Any) -> bool:
            asked.append(user.name)
            await answers.wait()
            return False

        monkeypatch.setattr(hub, "_who", who)
        ada = Person("ada", None)
        assert await asyncio.gather(*(hub.refresh_user(ada) for _ in range(3))) == [True] * 3
        answers.set()
        assert await hub.refresh_user(ada) is False
        assert asked == ["ada"], "once for all who waited"
        assert await hub.refresh_user(ada) is False
        assert asked == ["ada", "ada"]

    asyncio.run(ask())


def test_before_a_login_the_provider_is_asked_whether_it_is_there(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = authenticator(provider.config)

    async def ask() -> None:
        await hub.discover(fresh=True)
        hub.quaderno = somewhere_else(provider.config)
        await hub.discover()
        monkeypatch.setattr("quaderno.hub.authenticator.ANSWERED_LATELY", 0)
        await hub.discover(fresh=True)

    with pytest.raises(ProviderUnavailableError):
        asyncio.run(ask())


def test_a_refresh_says_who_it_is_and_in_which_groups(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    model = asyncio.run(_refresh(provider.config, person(tokens, seconds_left=3000)))
    assert model["name"] == "ada"
    assert model["groups"] == ["/dev/ml"]
    assert not model["admin"]


def test_a_refresh_turns_away_who_is_no_longer_admitted(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    traits = {"allow_all": False, "allowed_groups": {"/other"}}
    ada = person(tokens, seconds_left=3000)
    assert asyncio.run(_refresh(provider.config, ada, **traits)) is False
    traits["allowed_groups"] = {"/dev/ml"}
    assert asyncio.run(_refresh(provider.config, ada, **traits))["name"] == "ada"


def test_a_revoked_access_token_asks_for_a_login(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    ada = person({**tokens, "access_token": "not.a.token"}, seconds_left=3000)
    assert asyncio.run(_refresh(provider.config, ada)) is False


ODD = ["Ada", "\u0430da", "ada@example.org", "scratch", "a b", "ada..x", "x" * 64, "../ada"]


@pytest.mark.parametrize("embedded", [True, False], ids=["embedded store", "external store"])
@pytest.mark.parametrize("name", ODD)
def test_a_name_that_is_not_safe_as_it_is_is_mapped_where_the_store_knows_of_it(
    provider: Provider, name: str, embedded: bool
) -> None:
    """Mixed case and look-alikes would otherwise meet in one bucket."""
    store = provider.config.store.model_copy(update={"embedded": embedded})
    config = provider.config.model_copy(update={"store": store})

    async def username() -> str:
        return authenticator(config).user_info_to_username({"preferred_username": name})

    if embedded:
        assert asyncio.run(username()) == names.from_claim(name) != name
        return
    with pytest.raises(web.HTTPError) as refused:
        asyncio.run(username())
    assert refused.value.status_code == 403
    said = str(refused.value.log_message)
    assert f"{name!r} cannot be used here: " in said
    assert "The identity provider can give you another one for this service: ask help" in said


@pytest.mark.parametrize("claim", [7, ["ada"], {"ada": 1}, True])
def test_a_name_that_is_not_text_is_refused(provider: Provider, claim: Any) -> None:
    async def username() -> str:
        return authenticator(provider.config).user_info_to_username({"preferred_username": claim})

    with pytest.raises(web.HTTPError):
        asyncio.run(username())


@pytest.mark.parametrize("claims", [{}, {"preferred_username": ""}, {"preferred_username": None}])
def test_who_is_called_nothing_reads_so_and_is_not_put_out_for_it(
    provider: Provider, claims: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who works already has a name: the provider has forgotten to say it."""

    async def ask() -> None:
        hub = authenticator(provider.config)
        with pytest.raises(UnnamedError, match=r"claim preferred_username is missing.*Ask help@"):
            hub.user_info_to_username(claims)

        async def model(_: Any) -> dict[str, Any]:
            return {"name": hub.user_info_to_username(claims)}

        monkeypatch.setattr(hub, "_token_to_auth_model", model)
        ada = person({"access_token": "t", "refresh_token": "r", "expires_in": 3600}, 3000)
        assert await hub.refresh_user(ada) is True

    asyncio.run(ask())


def test_nobody_is_vouched_for_with_the_tokens_of_another(provider: Provider) -> None:
    """Whatever went wrong before: the name follows from what the provider said."""
    ada = Person(names.from_claim("Ada"), None)

    async def keys(kind: str) -> None:
        get = getattr(authenticator(provider.config), kind)
        get(ada, {"access_token": "t", "oauth_user": {"preferred_username": "ADA"}})

    for kind in ("s3_keys", "guest_keys"):
        with pytest.raises(LoginRequiredError):
            asyncio.run(keys(kind))


def test_a_slow_refresh_does_not_bring_back_old_tokens() -> None:
    def state(token: str, obtained_at: float, groups: list[str]) -> AuthState:
        return {
            "access_token": token,
            "refresh_token": f"r-{token}",
            "token_response": {"obtained_at": obtained_at},
            "oauth_user": {"groups": groups},
        }

    old, new = state("old", 100, ["/now"]), state("new", 200, ["/before"])
    kept = keep_newest_tokens(None, {"auth_state": old}, new)
    assert (kept["access_token"], kept["refresh_token"]) == ("new", "r-new")
    assert kept["oauth_user"] == {"groups": ["/now"]}
    assert keep_newest_tokens(None, {"auth_state": new}, old)["access_token"] == "new"


async def _fresh(config: Config, someone: Person) -> AuthState:
    return await authenticator(config).fresh_auth_state(someone)


async def _refresh(config: Config, someone: Person, **traits: Any) -> Any:
    return await authenticator(config, **traits).refresh_user(someone)
