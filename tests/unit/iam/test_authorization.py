"""What an application gets without asking: what the person gave to it, and nothing else."""

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from quaderno.config import Config

from .conftest import PASSWORD, new_browser

if TYPE_CHECKING:
    from django.test import Client

    from quaderno.iam.models import User

SCOPES = ["openid", "profile", "email"]
Ask = Callable[[], dict[str, list[str]]]


@pytest.fixture
def ada() -> "User":
    from quaderno.iam import accounts

    return accounts.create_user("ada", PASSWORD, email="ada@example.org")


@pytest.fixture
def here(ada: "User") -> "Client":
    client = new_browser()
    client.force_login(ada)
    return client


@pytest.fixture
def silently(here: "Client", config: Config) -> Ask:
    """What the hub is answered when it asks for SCOPES and for no page to be shown."""
    parameters = {
        "client_id": config.oidc.client_id,
        "redirect_uri": f"{config.public_url}/hub/oauth_callback",
        "response_type": "code",
        "scope": " ".join(SCOPES),
        "state": "s",
        "prompt": "none",
    }

    def ask() -> dict[str, list[str]]:
        answer = here.get("/identity/o/authorize", parameters)
        assert answer.headers["Location"].startswith(parameters["redirect_uri"])
        return parse_qs(urlsplit(answer.headers["Location"]).query)

    return ask


def give_a_token(user: "User", client_id: str) -> None:
    from allauth.idp.oidc.models import Token

    token = Token(user=user, client_id=client_id, type=Token.Type.REFRESH_TOKEN, hash="h")
    token.set_scopes(SCOPES)
    token.save()


def test_what_another_application_got_is_not_given_silently(ada: "User", silently: Ask) -> None:
    from allauth.idp.oidc.models import Client

    from quaderno.iam import authorization

    other = Client.objects.create(id="other", name="Other")
    authorization.remember(ada, other.id, SCOPES)
    give_a_token(ada, other.id)
    assert silently() == {"error": ["consent_required"], "state": ["s"]}


def test_more_than_was_given_is_not_given_silently(
    ada: "User", silently: Ask, config: Config
) -> None:
    from quaderno.iam import authorization

    give_a_token(ada, config.oidc.client_id)
    authorization.remember(ada, config.oidc.client_id, SCOPES[:2])
    assert silently()["error"] == ["consent_required"]


def test_what_was_given_is_given_silently(ada: "User", silently: Ask, config: Config) -> None:
    from quaderno.iam import authorization

    give_a_token(ada, config.oidc.client_id)  # which the library wants besides
    authorization.remember(ada, config.oidc.client_id, SCOPES)
    assert set(silently()) == {"code", "state"}


def test_who_is_not_logged_in_gives_nothing_silently(here: "Client", silently: Ask) -> None:
    here.logout()
    assert silently()["error"] == ["login_required"]
