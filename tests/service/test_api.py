"""The REST API: options, and who may do what."""

import json
from typing import Any

import httpx
import pytest

from tests.service import http_person
from tests.service.running import Hub, Service


@pytest.fixture(scope="module", autouse=True)
def known_to_the_hub(service: Service) -> None:
    http_person.log_in(service, "ada")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"gpu": 1}, "gpu must be 0, not “1”: this machine has none."),
        ({"disk": 1}, "Unknown server option “disk”: the options are image, cpu, memory, gpu and"),
        ({"cpu": 1000}, "cpu must be a number from 0.5 to"),
        ({"memory": "64T"}, "memory must be an amount from"),
        ({"image": "--privileged"}, "“--privileged” is not an image"),
        ({"image": "$(reboot)"}, "“$(reboot)” is not an image"),
    ],
)
def test_options_that_are_not_offered_are_refused(
    service: Service, hub: Hub, options: dict[str, Any], sentence: str
) -> None:
    if hub.running("ada"):
        hub.stop("ada")
    answer = hub.request("POST", "/users/ada/server", json=options)
    assert answer.status_code == 400
    assert sentence in answer.json()["message"]
    assert not hub.running("ada")


def test_the_form_is_trusted_no_more_than_the_api(service: Service, hub: Hub) -> None:
    if hub.running("ada"):
        hub.stop("ada")
    with http_person.logged_in(service, "ada") as client:
        page = client.get(f"{service.config.public_url}/hub/spawn")
        # What was refused before is still there, to be corrected.
        fields = {"own_image": "", "cpu": "1000", "memory": "1G"}
        refused = http_person.submit(client, page, "own_image", **fields)
    assert refused.status_code == 400
    assert "cpu must be a number" in refused.text
    assert "Server options" in refused.text


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example/", "/\\evil.example", "https:evil.example"],
)
def test_a_link_to_the_login_leads_nowhere_else(service: Service, elsewhere: str) -> None:
    public = service.config.public_url
    with http_person.logged_in(service, "ada") as client:
        answer = client.get(
            f"{public}/hub/login", params={"next": elsewhere}, follow_redirects=False
        )
    assert answer.is_redirect
    target = httpx.URL(public).join(answer.headers["location"])
    assert target.netloc == httpx.URL(public).netloc


def test_images_are_checked_for_who_may_start_a_server(service: Service, hub: Hub) -> None:
    path, wrong = "/quaderno/users/ada/image-check", {"image": "--privileged"}
    found = hub.request("POST", path, json=wrong).json()
    assert (found["level"], found["size"]) == ("refused", None)
    assert "“--privileged” is not an image" in found["message"]
    assert hub.request("POST", path, json=["base"]).status_code == 400
    token = service.quaderno("token", "create", "looker", "--scope", "list:users").stdout.strip()
    looker = Hub(service.config.public_url, token)
    assert looker.request("POST", path, json=wrong).status_code == 403
    with http_person.logged_in(service, "ada") as client:
        url = f"{service.config.public_url}/hub/api{path}"
        forged = client.post(url, json=wrong, headers={"Origin": service.config.public_url})
    assert forged.status_code == 403
    while (answer := hub.request("POST", path, json=wrong)).is_success:
        continue
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1


def test_a_token_does_what_its_scopes_say(service: Service) -> None:
    token = service.quaderno("token", "create", "reader", "--scope", "list:users").stdout.strip()
    reader = Hub(service.config.public_url, token)
    assert reader.request("GET", "/users").status_code == 200
    assert reader.request("POST", "/users/ada/server", json={}).status_code in (403, 404)
    assert reader.request("GET", "/quaderno/users/ada/s3-keys").status_code == 403


def test_the_agents_token_gets_peoples_keys_and_nothing_else(service: Service) -> None:
    http_person.log_in(service, "ada")
    agent = Hub(service.config.public_url, service.config.agent.hub_token.get_secret_value())
    assert agent.request("GET", "/quaderno/users/ada/s3-keys").status_code == 200
    for method, path in (
        ("GET", "/quaderno/users/ada/access-token"),
        ("GET", "/quaderno/users/ada/storage"),
        ("GET", "/users"),
        ("POST", "/users/ada/server"),
        ("DELETE", "/users/ada/server"),
        ("POST", "/users/ada/tokens"),
    ):
        assert agent.request(method, path).status_code in (403, 404), path


def test_a_revoked_token_ends_at_once(service: Service) -> None:
    token = service.quaderno("token", "create", "brief", "--scope", "list:users").stdout.strip()
    assert "brief" in json.loads(service.quaderno("token", "list", "--json").stdout)
    brief = Hub(service.config.public_url, token)
    assert brief.request("GET", "/users").status_code == 200
    service.quaderno("token", "revoke", "brief")
    assert brief.request("GET", "/users").status_code == 403
    assert "brief" not in json.loads(service.quaderno("token", "list", "--json").stdout)
    next_one = service.quaderno("token", "create", "next", "--scope", "list:users").stdout.strip()
    assert Hub(service.config.public_url, next_one).request("GET", "/users").status_code == 200
    again = service.quaderno("token", "revoke", "brief", check=False)
    assert again.returncode == 1
    assert "'brief' has no token" in again.stderr


def test_a_scope_that_does_not_exist_is_refused(service: Service) -> None:
    result = service.quaderno("token", "create", "odd", "--scope", "rule:the-world", check=False)
    assert result.returncode == 1
    assert "'rule:the-world' is not a JupyterHub scope" in result.stderr
    assert "Traceback" not in result.stderr
