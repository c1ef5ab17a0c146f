"""Applications that register themselves: only where it was opened, only with a token, not as they
like."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from quaderno.errors import AccountError

from .conftest import PASSWORD, Configure, new_browser
from .people import manage
from .test_clients import BAD, GOOD

if TYPE_CHECKING:
    from django.test import Client

PAGE, DISCOVERY = "/identity/o/api/clients", "/.well-known/openid-configuration"
ASKED: dict[str, Any] = {
    "client_name": "Plots",
    "redirect_uris": ["https://plots.example.org/cb"],
    "scope": "openid profile",
}


@pytest.fixture
def opened(configure: Configure) -> None:
    configure(client_registration="token")


@pytest.fixture
def browser() -> "Client":
    """A program, which has no token of a form."""
    return new_browser(enforce_csrf_checks=True)


def invited() -> str:
    from django.core.cache import cache

    cache.clear()  # three in a minute
    return str(json.loads(manage("invite_client", "--days=2"))["token"])


def register(browser: "Client", token: str | None, **changes: Any) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    asked = {key: value for key, value in (ASKED | changes).items() if value is not None}
    return browser.post(PAGE, json.dumps(asked), "application/json", headers=headers)


def known() -> set[str]:
    return {each["name"] for each in json.loads(manage("list_clients"))} - {"Notes & Co"}


def test_it_is_closed_unless_it_was_opened(browser: "Client", configure: Configure) -> None:
    with pytest.raises(AccountError, match="do not register themselves"):
        manage("invite_client")
    configure(client_registration="token")
    token = invited()
    configure(client_registration="closed")
    assert register(browser, token).status_code == 404
    assert "registration_endpoint" not in browser.get(DISCOVERY).json()
    assert known() == set()


@pytest.mark.usefixtures("opened")
def test_from_a_token_to_a_consent_that_names_where_the_answer_goes(browser: "Client") -> None:
    from quaderno.iam import accounts

    assert browser.get(DISCOVERY).json()["registration_endpoint"] == f"http://127.0.0.1:8001{PAGE}"
    token = invited()
    answer = register(browser, token)
    assert answer.status_code == 201, answer.content
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json()
    assert len(made["client_secret"]) > 30
    assert register(browser, token).status_code == 401, "once"

    ada = new_browser()
    ada.force_login(accounts.create_user("ada", PASSWORD))
    parameters = {"client_id": made["client_id"], "redirect_uri": ASKED["redirect_uris"][0]}
    parameters |= {"response_type": "code", "scope": "openid profile", "state": "s"}
    page = ada.get("/identity/o/authorize", parameters).content.decode()
    assert "Authorize Plots?" in page
    assert "Your answer goes to <strong>plots.example.org</strong>" in page
    elsewhere = parameters | {"redirect_uri": "https://evil.example/cb"}
    assert "This login cannot go on" in ada.get("/identity/o/authorize", elsewhere).content.decode()
    manage("change_client", "remove", made["client_id"])
    assert known() == set()


@pytest.mark.usefixtures("opened")
def test_a_program_without_secret_gets_codes_for_devices(browser: "Client") -> None:
    """Its name, which it has chosen, is on the page of the one who lets it in."""
    from quaderno.iam import accounts

    device = "urn:ietf:params:oauth:grant-type:device_code"
    answer = register(
        browser,
        invited(),
        token_endpoint_auth_method="none",
        redirect_uris=["http://localhost:4242"],
        grant_types=[device, "refresh_token"],
        client_name=None,
    )
    made = answer.json()
    assert "client_secret" not in made
    assert made["client_name"] == "localhost:4242"
    form = {"client_id": made["client_id"], "scope": "openid"}
    kind = "application/x-www-form-urlencoded"
    codes = browser.post("/identity/o/api/device/code", urlencode(form), kind)
    assert codes.status_code == 200
    ada = new_browser()
    ada.force_login(accounts.create_user("ada", PASSWORD))
    page = ada.get("/identity/o/device", {"code": codes.json()["user_code"]}).content.decode()
    assert "This program has registered itself, under a name of its choice." in page


@pytest.mark.usefixtures("opened")
def test_two_requests_at_the_same_time_do_not_share_a_token(
    browser: "Client", monkeypatch: pytest.MonkeyPatch
) -> None:
    from quaderno.iam.client_rules import name_problem

    token, answers, rules = invited(), [], "quaderno.iam.client_registration.name_problem"

    def overtaken(name: str) -> str | None:
        """The first has shown the token, and the second comes in between."""
        monkeypatch.setattr(rules, name_problem)
        answers.append(register(new_browser(), token, client_name="Second"))
        return name_problem(name)

    monkeypatch.setattr(rules, overtaken)
    answers.append(register(browser, token))
    assert [answer.status_code for answer in answers] == [201, 400]
    assert known() == {"Second"}


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("token", [None, "", "guess", "expired"])
def test_nobody_comes_without_a_token(browser: "Client", token: str | None) -> None:
    from allauth.idp.oidc.models import Token
    from django.utils import timezone

    if token == "expired":
        token = invited()
        Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert register(browser, token).status_code == 401
    assert known() == set()


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("field", ["redirect_uris", "post_logout_redirect_uris"])
def test_addresses_follow_the_rules(browser: "Client", field: str) -> None:
    token = invited()
    for uri in BAD[1:]:
        refused = register(browser, token, **{field: [GOOD[0], uri]})
        assert refused.status_code == 400, uri
        assert refused.json()["error"] == "invalid_redirect_uri"
    many = [f"https://a{number}.example.org/" for number in range(11)]
    assert register(browser, token, **{field: many}).status_code == 400
    assert known() == set()
    assert register(browser, token, **{field: GOOD}).status_code == 201, "the token is still good"


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uris": None},
        {"redirect_uris": "https://plots.example.org/cb"},
        {"redirect_uris": [7]},
        {"post_logout_redirect_uris": "https://plots.example.org/"},
        {"client_name": "notes & co"},
        {"client_name": "\u202estolP"},
        {"client_name": "<b>Plots</b>"},
        {"client_name": "P" * 200},
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["implicit"], "response_types": ["token"]},
        {"response_types": ["code id_token"]},
        {"scope": "root"},
        {"token_endpoint_auth_method": "private_key_jwt"},
    ],
    ids=str,
)
def test_what_an_application_cannot_be(browser: "Client", changes: dict[str, Any]) -> None:
    refused = register(browser, invited(), **changes)
    assert refused.status_code == 400, refused.content
    assert known() == set()


@pytest.mark.usefixtures("opened")
def test_more_than_it_may_be_is_left_out(browser: "Client") -> None:
    from allauth.idp.oidc.models import Client

    answer = register(
        browser, invited(), scope="openid groups root", skip_consent=True, notes="x" * 1000
    )
    assert answer.json()["scope"] == "openid groups"
    client = Client.objects.get(name="Plots")
    assert not client.skip_consent
    assert "notes" not in str(client.data)
