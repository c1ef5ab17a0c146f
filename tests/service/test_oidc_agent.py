"""Access tokens in two people's servers: whose they are, and who does not get them."""

import asyncio
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import jwt
import pytest
from jupyterhub.crypto import CryptKeeper

from tests.service import http_person
from tests.service.kernel import Kernel
from tests.service.running import Hub, Service, wait_for
from tests.service.terminal import PEOPLE, own_token, printed, servers, terminal


@pytest.fixture(scope="module", autouse=True)
def two_servers(service: Service, hub: Hub) -> Iterator[None]:
    with servers(service, hub, cpu=1, memory="1G"):
        yield


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def ask(
    service: Service, username: str, token: str, query: str = "", kind: str = "access-token"
) -> httpx.Response:
    """The hub's answer to who holds `token`."""
    return Hub(service.config.public_url, token).request(
        "GET", f"/quaderno/users/{username}/{kind}?{query}"
    )


def log(service: Service) -> str:
    return (service.config.logs / "hub.log").read_text()


# --- what people get


@pytest.mark.parametrize("username", PEOPLE)
def test_oidc_token_prints_a_token_of_that_person(service: Service, username: str) -> None:
    token, issuer, expires_at = printed(
        service, username, "oidc-token --all infncloud"
    ).splitlines()
    found = claims(token)
    assert (found["preferred_username"], found["iss"]) == (username, service.config.issuer)
    assert issuer == service.config.issuer
    assert int(expires_at) == pytest.approx(found["exp"], abs=10)
    asked = f"Access token of {username} for Server at /user/{username}/, audience as issued"
    wait_for(lambda: asked in log(service), 60, "the record")
    assert token not in log(service)


def test_a_longer_life_renews_the_token_but_not_each_time(service: Service) -> None:
    lifetime = "oidc-token --time 100000 infncloud"
    tokens = {printed(service, "ada", lifetime) for _ in range(3)}
    assert len(tokens) <= 2  # the one of the login may be a minute old


def test_kernels_get_tokens_and_keys(service: Service) -> None:
    token = "import liboidcagent as agent; print(agent.get_access_token('infncloud'))"
    buckets = (
        "import boto3; print(*[b['Name'] for b in boto3.client('s3').list_buckets()['Buckets']])"
    )
    with Kernel(service, "bob") as kernel:
        assert claims(kernel.run(token).strip())["preferred_username"] == "bob"
        assert "bob" in kernel.run(buckets).split()


# --- audiences


@pytest.mark.parametrize("audience", ["quaderno", "elsewhere"])
def test_an_allowed_audience_is_given(service: Service, audience: str) -> None:
    token = printed(service, "ada", f"oidc-token --aud {audience} infncloud")
    assert claims(token)["aud"] in (audience, [audience])
    asked = f'for Server at /user/ada/, audience ["{audience}"]'
    wait_for(lambda: asked in log(service), 60, "the record")
    assert printed(service, "ada", f"oidc-token --aud {audience} infncloud") == token


@pytest.mark.parametrize(
    ("audience", "words"),
    [
        ("other", 'The audience "other" is not among those that may be asked for.'),
        ("quaderno other", 'The audience "quaderno other" is not among those'),
    ],
)
def test_other_audiences_are_refused(service: Service, audience: str, words: str) -> None:
    status, output = terminal(service, "ada", f"oidc-token --aud '{audience}' infncloud")
    assert (status, "HTTP 403" in output) == (1, True)
    assert words in output


@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "9" * 30, ""])
def test_a_bad_period_is_refused(service: Service, value: str) -> None:
    answer = ask(service, "ada", own_token(service, "ada"), f"min_valid_period={value}")
    assert answer.status_code == 400
    assert "number of seconds" in answer.json()["message"]


# --- who does not get them


def test_another_persons_token_is_refused(service: Service) -> None:
    bobs = own_token(service, "bob")
    answer = ask(service, "bob", bobs)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    for name in ("ada", "nobody"):
        refused = ask(service, name, bobs)
        assert refused.status_code == 403
        assert refused.json()["message"] == "These are not your access tokens."


def test_the_node_agent_gets_keys_and_no_tokens(service: Service) -> None:
    token = service.config.agent.hub_token.get_secret_value()
    assert ask(service, "ada", token, kind="s3-keys").status_code == 200
    assert ask(service, "ada", token).status_code == 403


def test_a_token_for_keys_gets_no_tokens(service: Service) -> None:
    scope = "custom:quaderno:s3-keys!user=ada"
    made = service.quaderno("token", "create", "only-keys", "--scope", scope)
    assert ask(service, "ada", made.stdout.strip()).status_code == 403


def test_a_browser_gets_no_token(service: Service) -> None:
    with http_person.logged_in(service, "bob") as client:
        hub = service.config.public_url + "/hub"
        answer = client.get(
            f"{hub}/api/quaderno/users/bob/access-token", headers={"Referer": f"{hub}/home"}
        )
    assert answer.status_code == 403
    assert "access_token" not in answer.text


# --- what is not inside


def test_neither_refresh_token_nor_client_secret_is_inside(service: Service) -> None:
    """Nor the identity token: after everything above has been used."""
    for username in PEOPLE:
        printed(service, username, "oidc-token infncloud")
        printed(
            service, username, "python examples/s3_boto3.py && python examples/s3_oidc_agent.py"
        )
        state = kept_by_the_hub(service, username)
        secrets = [state["refresh_token"], service.config.oidc.client_secret.get_secret_value()]
        secrets += [state["id_token"]] if state["id_token"] else []
        assert service.holding(username, secrets) == []


def kept_by_the_hub(service: Service, username: str) -> dict[str, Any]:
    """What the hub keeps of a person's login, deciphered with the hub's own key."""
    database = service.config.dir / "hub" / "jupyterhub.sqlite"
    query = "SELECT encrypted_auth_state FROM users WHERE name = ?"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        (encrypted,) = connection.execute(query, (username,)).fetchone()
    key = bytes.fromhex(service.config.hub.crypt_key.get_secret_value())

    async def decrypted() -> dict[str, Any]:
        state: dict[str, Any] = await CryptKeeper(keys=[key]).decrypt(encrypted)
        return state

    with ThreadPoolExecutor(1) as pool:  # the browser's event loop may run in this thread
        return pool.submit(asyncio.run, decrypted()).result()


def test_it_ends_with_the_server(service: Service, hub: Hub) -> None:
    token = own_token(service, "ada")
    assert ask(service, "ada", token).status_code == 200
    hub.stop("ada")
    assert ask(service, "ada", token).status_code == 403
    assert ask(service, "ada", token, kind="s3-keys").status_code == 403
