"""Access tokens for an audience that is asked for, from the provider to who asks the hub; what
tells others of them: introspection, and keys that are published before they sign."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from pydantic import SecretStr

from quaderno.errors import AudienceRefusedError, LoginRequiredError
from quaderno.hub.credentials import audiences
from tests.contract.identity_fixtures import Provider, get, post, running_provider
from tests.contract.test_authenticator import Person, authenticator, person

ARCHIVE, BATCH = "https://archive.example.org", "batch"


def _rsa_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    return key.private_bytes(*form).decode()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """One that knows two audiences besides the hub, and has its next key ready."""
    directory = tmp_path_factory.mktemp("audiences")
    known = [ARCHIVE, BATCH]
    with running_provider(directory, audiences=known, published_key=_rsa_key()) as provider:
        yield provider


def refresh(provider: Provider, tokens: dict[str, Any], **asked: str) -> httpx.Response:
    return provider.token(
        grant_type="refresh_token", refresh_token=tokens["refresh_token"], **asked
    )


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"audience": BATCH}, {BATCH}),
        ({"audience": f"{BATCH} {ARCHIVE}"}, {BATCH, ARCHIVE}),
        ({"resource": ARCHIVE}, {ARCHIVE}),
        ({"resource": ARCHIVE, "audience": ARCHIVE}, {ARCHIVE}),
        ({"audience": "quaderno"}, {"quaderno"}),
        ({}, {"quaderno"}),
    ],
)
def test_a_token_is_for_whom_it_was_asked(
    provider: Provider, tokens: dict[str, Any], asked: dict[str, str], given: set[str]
) -> None:
    answer = refresh(provider, tokens, **asked).json()
    assert audiences(answer["access_token"]) == given
    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert claims["preferred_username"] == "ada"


@pytest.mark.parametrize(
    "asked",
    [
        {"audience": "somebody"},
        {"audience": f"{BATCH} somebody"},
        {"resource": "https://archive.example.org.evil.example"},
        {"resource": "https://archive.example.org/below"},
        {"resource": BATCH},  # no URI
    ],
)
def test_others_are_refused_and_spend_nothing(
    provider: Provider, tokens: dict[str, Any], asked: dict[str, str]
) -> None:
    refused = refresh(provider, tokens, **asked)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    assert refresh(provider, tokens).status_code == 200


# --- the hub


def ask(provider: Provider, ada: Person, *names: str, times: int = 1) -> list[Any]:
    async def gathered() -> list[Any]:
        hub = authenticator(provider.config)
        asking = (hub.auth_state_for(ada, frozenset(names), 0) for _ in range(times))
        return await asyncio.gather(*asking)

    return asyncio.run(gathered())


def test_the_hub_asks_once_and_goes_on_with_its_own(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    ada = person(tokens, seconds_left=3000)
    states = ask(provider, ada, ARCHIVE, times=20)
    (token,) = {state["access_token"] for state in states}
    assert audiences(token) == {ARCHIVE}
    assert states[0]["token_response"]["expires_at"] > time.time() + 3000
    assert len(ada.saved) == 1
    assert ada.saved[0]["access_token"] == tokens["access_token"]
    assert ada.saved[0]["token_response"]["expires_at"] < time.time() + 3001
    again = refresh(provider, ada.saved[0])
    assert again.status_code == 200, "the refresh token is the new one"


def test_the_hub_tells_a_refusal_from_the_end_of_a_login(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    with pytest.raises(AudienceRefusedError):
        ask(provider, person(tokens, seconds_left=3000), "somebody")
    refresh(provider, tokens)
    with pytest.raises(LoginRequiredError):
        ask(provider, person(tokens, seconds_left=3000), BATCH)


# --- who tells others


def introspect(provider: Provider, token: str, secret: str | None = None) -> httpx.Response:
    oidc = provider.config.oidc
    secret = secret or oidc.client_secret.get_secret_value()
    return post(
        provider.metadata["introspection_endpoint"],
        data={"token": token},
        auth=(oidc.client_id, secret),
    )


def test_a_client_may_ask_about_its_tokens(provider: Provider, tokens: dict[str, Any]) -> None:
    token, oidc = tokens["access_token"], provider.config.oidc
    told = introspect(provider, token).json()
    assert told["active"] is True
    assert "groups" in told["scope"].split()
    assert introspect(provider, token, secret="guessed").status_code == 401
    assert introspect(provider, "not.a.token").json() == {"active": False}
    own = (oidc.client_id, oidc.client_secret.get_secret_value())
    revoked = post(provider.metadata["revocation_endpoint"], data={"token": token}, auth=own)
    assert revoked.status_code == 200
    assert introspect(provider, token).json() == {"active": False}


def test_the_other_key_is_published_and_does_not_sign(
    provider: Provider, tokens: dict[str, Any]
) -> None:
    iam = provider.config.iam
    keys = get(provider.metadata["jwks_uri"]).json()["keys"]
    published = {jwt.PyJWK(key).key.public_numbers() for key in keys}
    signing, other = _public(iam.signing_key), _public(iam.published_key)
    assert published == {signing.public_numbers(), other.public_numbers()}

    def verified(key: RSAPublicKey) -> dict[str, Any]:
        return jwt.decode(tokens["access_token"], key, ["RS256"], audience="quaderno")

    assert verified(signing)["preferred_username"] == "ada"
    with pytest.raises(jwt.InvalidSignatureError):
        verified(other)


def _public(key: SecretStr) -> RSAPublicKey:
    loaded = load_pem_private_key(key.get_secret_value().encode(), None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded.public_key()
