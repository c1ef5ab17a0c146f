"""Every S3 client in Ada's server, with nothing configured; who gets keys, and how often."""

import os
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest

from quaderno.images import build
from quaderno_server.s3_keys import CONFIRMED_FOR
from tests import clients
from tests.service.running import Hub, Service, wait_for
from tests.service.terminal import own_token, printed, servers, terminal

AUDIT = "S3 keys of ada for Server at /user/ada/"


class Before(NamedTuple):
    """How often Ada's servers had got keys before this one, and when (monotonic seconds)."""

    given: int
    at: float


@pytest.fixture(scope="module", autouse=True)
def before(service: Service, hub: Hub) -> Iterator[Before]:
    before = Before(log(service).count(AUDIT), time.monotonic())
    image = clients.image(build.base_reference(service.config))
    with servers(service, hub, image=image, cpu=1, memory="2G"):
        printed(service, "ada", clients.PREPARE)
        yield before


def ask(service: Service, token: str, kind: str = "s3-keys") -> httpx.Response:
    """The hub's answer to who asks for Ada's with `token`."""
    return Hub(service.config.public_url, token).request("GET", f"/quaderno/users/ada/{kind}")


def log(service: Service) -> str:
    return (service.config.logs / "hub.log").read_text()


@pytest.mark.parametrize("client", clients.READING)
def test_a_client_reads_with_nothing_configured(service: Service, client: str) -> None:
    assert printed(service, "ada", clients.READING[client]) == "45"


def test_all_these_needed_one_answer_a_minute_of_the_hub_which_is_on_record(
    service: Service, before: Before
) -> None:
    key = "$AWS_CONTAINER_CREDENTIALS_FULL_URI | grep -o 'ASIA[A-Za-z0-9]*' | head -n 1"
    header = '"Authorization: $(cat $AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)"'
    name = printed(service, "ada", f"curl -s -H {header} {key}")
    assert name.startswith("ASIA")
    given = wait_for(lambda: log(service).count(AUDIT) - before.given, 60, "the record")
    assert 1 <= given <= 1 + (time.monotonic() - before.at) / CONFIRMED_FOR
    assert name not in log(service)


def test_another_persons_container_reaches_none_of_it(service: Service) -> None:
    (network,) = service.container("ada").attrs["NetworkSettings"]["Networks"].values()
    for address in ("127.0.0.1", network["IPAddress"]):
        status, output = terminal(
            service,
            "bob",
            f"curl -s --max-time 5 http://{address}:17888/s3-keys -H Authorization:x",
        )
        assert "AccessKeyId" not in output
        assert (status != 0) == (address != "127.0.0.1")  # there, Bob's own refuses


def test_who_asks_too_often_must_wait(service: Service) -> None:
    scope = "custom:quaderno:access-token!user=ada"
    token = service.quaderno("token", "create", "often", "--scope", scope).stdout.strip()
    most = service.config.hub.credentials_per_minute
    statuses = [ask(service, token, "access-token").status_code for _ in range(3)]
    while statuses[-1] == 200 and len(statuses) < 10 * most:
        last = ask(service, token, "access-token")
        statuses.append(last.status_code)
    assert len(statuses) > most
    assert statuses[-1] == 429
    assert int(last.headers["Retry-After"]) >= 1
    assert "Asked too often for access tokens: wait" in last.json()["message"]
    assert ask(service, own_token(service, "ada"), "access-token").status_code == 200


def test_a_store_that_hangs_is_named_in_time(service: Service) -> None:
    pid = service.status()["store"].pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    try:
        answer = ask(service, own_token(service, "ada"))
        status, output = terminal(service, "ada", "timeout 90 quaderno-credentials")
        wait_for(lambda: ended(service), 60, "the edge's end of connections")
        hung = {
            client: terminal(service, "ada", f"timeout 90 {reading}")
            for client, reading in clients.READING.items()
        }
    finally:
        os.kill(pid, signal.SIGCONT)
    words = "The object store does not answer now: try again in a moment."
    assert (answer.status_code, answer.json()["message"]) == (503, words)
    assert (status, words in output) == (1, True)
    assert {client: said for client, said in hung.items() if said[0] in (0, 124)} == {}
    token = own_token(service, "ada")
    wait_for(lambda: ask(service, token).is_success, 60, "keys of a store that goes on")
    wait_for(lambda: terminal(service, "ada", clients.READING["boto3"])[1] == "45", 60, "the store")


def ended(service: Service) -> bool:
    """Whether the store's connections end at once: who waits for it would wait for a minute."""
    return terminal(service, "ada", "curl -s --max-time 5 $AWS_ENDPOINT_URL_S3")[0] in (52, 56)


def test_with_the_servers_token_all_of_it_ends(service: Service) -> None:
    scope = "tokens!user=ada"
    name = service.quaderno("token", "create", "revoking", "--scope", scope)
    api = Hub(service.config.public_url, name.stdout.strip())
    own = own_token(service, "ada")
    for token in api.request("GET", "/users/ada/tokens").json()["api_tokens"]:
        if token["note"] == "Server at /user/ada/":
            assert api.request("DELETE", f"/users/ada/tokens/{token['id']}").status_code == 204
    assert ask(service, own).status_code == ask(service, own, "access-token").status_code == 403
    for command in ("oidc-token infncloud", "quaderno-credentials"):
        status, output = terminal(service, "ada", command)
        assert (status, "HTTP 403" in output) == (1, True)
        assert "This token is not valid: start the server anew" in output
