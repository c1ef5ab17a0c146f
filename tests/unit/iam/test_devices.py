"""The device flow: a program shows a code, its owner types it in a browser."""

from base64 import b64encode
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt
import pytest

from quaderno.config import Config

from .conftest import PASSWORD, new_browser
from .people import log_in, manage

if TYPE_CHECKING:
    from django.test import Client

PAGE, CODES, TOKENS = "/identity/o/device", "/identity/o/api/device/code", "/identity/o/api/token"
SCOPE = "openid profile groups offline_access"
GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.fixture(autouse=True)
def impatient() -> Iterator[None]:
    """Programs need not wait between two questions."""
    from django.test import override_settings

    with override_settings(IDP_OIDC_DEVICE_CODE_INTERVAL=0):
        yield


@pytest.fixture
def program() -> "Client":
    manage("change_client", "add", "oidc-agent", "--name", "oidc-agent <of> laptops")
    return new_browser(enforce_csrf_checks=True)


@pytest.fixture
def ada() -> "Client":
    from quaderno.iam import accounts

    accounts.create_user("ada", PASSWORD, groups=["/dev/ml"])
    client = new_browser(enforce_csrf_checks=True)
    client.force_login(accounts.find("ada"))
    return client


def send(
    program: "Client", path: str, form: dict[str, str], headers: dict[str, str] | None = None
) -> Any:
    """As OAuth programs do."""
    body = urlencode(form)
    return program.post(path, body, "application/x-www-form-urlencoded", headers=headers)


def begin(program: "Client", **changes: str) -> dict[str, Any]:
    answer = send(program, CODES, {"client_id": "oidc-agent", "scope": SCOPE} | changes)
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def poll(program: "Client", device: dict[str, Any], **changes: str) -> Any:
    form = {"grant_type": GRANT, "client_id": "oidc-agent", "device_code": device["device_code"]}
    return send(program, TOKENS, form | changes)


def decide(browser: "Client", code: str, action: str = "confirm") -> Any:
    """Through the page: with its token, as a browser does."""
    page = browser.get(PAGE, {"code": code})
    assert page.status_code == 200
    token = str(page.context["csrf_token"])
    form = {"code": code, "action": action, "csrfmiddlewaretoken": token}
    return browser.post(PAGE, form, headers={"Origin": "http://127.0.0.1:8001"})


def error(answer: Any) -> str:
    assert answer.status_code in (400, 401), answer.content
    return str(answer.json()["error"])


def test_discovery_tells_programs_where_to_go(program: "Client") -> None:
    found = program.get("/.well-known/openid-configuration").json()
    assert found["device_authorization_endpoint"] == f"http://127.0.0.1:8001{CODES}"
    assert GRANT in found["grant_types_supported"]


def test_from_a_code_to_tokens(program: "Client", ada: "Client", config: Config) -> None:
    device = begin(program)
    assert device["verification_uri"] == f"http://127.0.0.1:8001{PAGE}"
    assert device["verification_uri_complete"].endswith(f"?code={device['user_code']}")
    assert error(poll(program, device)) == "authorization_pending"
    page = ada.get(PAGE, {"code": device["user_code"].lower()}).content.decode()
    assert "Authorize oidc-agent &lt;of&gt; laptops?" in page
    assert device["user_code"] in page, "to be compared"
    assert "See your groups" in page
    assert "See your e-mail address" not in page, "it does not ask for it"
    assert "You let whoever runs it do so as you" in page
    assert "Stay connected for up to 30 days, without asking you again" in page
    assert "registered itself" not in page, "an operator has registered it"
    assert "Go back to your program" in decide(ada, device["user_code"]).content.decode()
    answer = poll(program, device)
    assert answer.status_code == 200, answer.content
    claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
    assert (claims["preferred_username"], claims["groups"]) == ("ada", ["/dev/ml"])
    assert claims["aud"] == "oidc-agent", "and neither hub nor store"
    assert error(poll(program, device)) == "invalid_grant", "once"

    refresh = {"grant_type": "refresh_token", "client_id": "oidc-agent"}
    token = answer.json()["refresh_token"]
    fresh = send(program, TOKENS, refresh | {"refresh_token": token})
    assert fresh.status_code == 200
    listed = ada.get("/identity/applications/")
    assert "oidc-agent &lt;of&gt; laptops" in listed.content.decode()
    revoke = {"client": "oidc-agent", "csrfmiddlewaretoken": str(listed.context["csrf_token"])}
    ada.post("/identity/applications/", revoke, headers={"Origin": "http://127.0.0.1:8001"})
    token = fresh.json()["refresh_token"]
    assert error(send(program, TOKENS, refresh | {"refresh_token": token})) == "invalid_grant"


def test_who_says_no_is_heard(program: "Client", ada: "Client") -> None:
    device = begin(program)
    assert "Nothing was authorized" in decide(ada, device["user_code"], "deny").content.decode()
    assert error(poll(program, device)) == "access_denied"
    again = decide(ada, device["user_code"]).content.decode()
    assert "Enter the code" in again
    assert error(poll(program, device)) == "access_denied"


@pytest.mark.parametrize("where", ["form", "address"])
def test_only_a_form_of_ours_decides(program: "Client", ada: "Client", where: str) -> None:
    """The library's page takes `action` from any site, with the code in the address."""
    device = begin(program)
    form = {"action": "confirm"} | ({"code": device["user_code"]} if where == "form" else {})
    path = f"{PAGE}?code={device['user_code']}"
    ada.get(path)  # the browser has a cookie of the form
    forged = ada.post(path, form, headers={"Origin": "https://evil.example"})
    assert forged.status_code == 403
    ada.get(path, {"action": "confirm"})
    assert error(poll(program, device)) == "authorization_pending"


def test_a_link_leads_over_the_login_to_the_question(program: "Client", ada: "Client") -> None:
    device = begin(program)
    stranger = new_browser()
    path = f"{PAGE}?code={device['user_code']}"
    sent = stranger.get(path)
    assert sent.headers["Location"].startswith("/identity/login/?next=")
    login = {"login": "ada", "password": PASSWORD}
    page = stranger.post(sent.headers["Location"], login, follow=True)
    assert page.redirect_chain[-1][0] == path
    assert "Authorize oidc-agent" in page.content.decode()
    assert error(poll(program, device)) == "authorization_pending"


def test_who_is_suspended_meanwhile_gives_nothing(program: "Client", ada: "Client") -> None:
    from quaderno.iam import accounts

    accounts.create_user("root", PASSWORD, admin=True)
    device = begin(program)
    decide(ada, device["user_code"])
    accounts.suspend(accounts.find("ada"), "Gone")
    assert error(poll(program, device)) == "access_denied"


@pytest.mark.parametrize(
    "changes",
    [{"client_id": "another"}, {"device_code": "guessed"}, {"client_id": "quaderno"}],
    ids=str,
)
def test_codes_are_bound_to_their_program(
    program: "Client", ada: "Client", changes: dict[str, str]
) -> None:
    manage("change_client", "add", "another")
    device = begin(program)
    decide(ada, device["user_code"])
    assert error(poll(program, device, **changes)) in ("invalid_grant", "invalid_client")
    assert poll(program, device).status_code == 200


@pytest.mark.parametrize("changes", [{"client_id": "quaderno"}, {"scope": "openid root"}], ids=str)
def test_no_codes_for_others_or_for_more(program: "Client", changes: dict[str, str]) -> None:
    """The hub has a secret and a browser: its name is not for programs."""
    form = {"client_id": "oidc-agent", "scope": SCOPE} | changes
    assert send(program, CODES, form).status_code in (400, 401)


def test_the_hubs_audience_is_for_the_hub(program: "Client", ada: "Client") -> None:
    """With it, the token would open the person's storage, of which the page does not speak."""
    device = begin(program)
    decide(ada, device["user_code"])
    assert error(poll(program, device, audience="quaderno")) == "invalid_target"
    own = poll(program, device, audience="oidc-agent")
    assert own.status_code == 200, own.content


def test_who_says_two_names_gets_no_audience_of_the_other(program: "Client", ada: "Client") -> None:
    """The library goes by the form where that names a program, whatever the header says."""
    device = begin(program)
    decide(ada, device["user_code"])
    token = poll(program, device).json()["refresh_token"]
    another = begin(program)
    decide(ada, another["user_code"])
    header = {"Authorization": f"Basic {b64encode(b'quaderno:guessed').decode()}"}
    asked = {"client_id": "oidc-agent", "audience": "quaderno"}
    for grant in (
        {"grant_type": "refresh_token", "refresh_token": token},
        {"grant_type": GRANT, "device_code": another["device_code"]},
    ):
        assert error(send(program, TOKENS, grant | asked, header)) == "invalid_target"


def test_guessing_and_flooding_are_slowed_down(program: "Client", ada: "Client") -> None:
    words = ""
    for _ in range(25):
        words = ada.get(PAGE, {"code": "BCDF-GHJK"}).content.decode()
    assert "Too many" in words or "too many" in words
    answers = {send(program, CODES, {"client_id": "oidc-agent"}).status_code for _ in range(25)}
    assert answers == {200, 429}


def test_nobody_fills_the_memory(program: "Client") -> None:
    """Scopes may be said twice, and are kept as they came."""
    form = {"client_id": "oidc-agent", "scope": "openid " * 10**5}
    assert error(send(program, CODES, form)) == "invalid_request"


def test_the_page_by_itself_asks_for_a_code(ada: "Client") -> None:
    page = ada.get(PAGE).content.decode()
    assert "Enter the code that your program shows." in page
    assert "Incorrect code" in ada.get(PAGE, {"code": "BCDF-GHJK"}).content.decode()


def test_nobody_decides_without_a_login(program: "Client") -> None:
    device = begin(program)
    stranger = new_browser()
    form = {"code": device["user_code"], "action": "confirm"}
    assert stranger.post(PAGE, form).status_code == 302
    assert error(poll(program, device)) == "authorization_pending"
    log_in(stranger, "ada", PASSWORD)
    assert error(poll(program, device)) == "authorization_pending"
