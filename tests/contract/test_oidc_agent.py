"""oidc-agent's own clients in a server of the base image, with a hub that tests can break."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest

from quaderno.config import Config
from quaderno.images import build
from quaderno.storage import buckets
from tests.contract.server_fixtures import ISSUER, Server, running_server
from tests.contract.storage_fixtures import Issuer, Store, new_config


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return new_config(tmp_path_factory.mktemp("oidc-agent"))


@pytest.fixture(scope="module")
def issuer(config: Config) -> Iterator[Issuer]:
    issuer = Issuer(config)
    with issuer.serving():
        yield issuer


@pytest.fixture(scope="module")
def running(config: Config, issuer: Issuer) -> Iterator[Server]:
    build.build_base(config, print)
    with running_server(config, issuer, build.base_reference(config)) as anna:
        yield anna


@pytest.fixture
def anna(running: Server) -> Iterator[Server]:
    """Her server, whose log holds nothing that a person should worry about."""
    running.hub.heal()
    yield running
    log = running.logged()
    assert "Traceback" not in log
    assert " W " not in log.partition("oidc")[2]


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def test_nothing_is_imported_before_somebody_asks(anna: Server) -> None:
    maps = "cat /proc/[0-9]*/maps 2>/dev/null | grep -c /nacl/"
    assert anna.run(maps)[1].strip() == "0"
    anna.printed("oidc-token infncloud")
    assert int(anna.run(maps)[1]) > 0


def test_oidc_token_prints_a_token(anna: Server) -> None:
    assert claims(anna.printed("oidc-token infncloud"))["preferred_username"] == "anna"


def test_oidc_token_prints_all(anna: Server) -> None:
    token, issuer, expires_at = anna.printed("oidc-token --all infncloud").splitlines()
    assert (claims(token)["exp"], issuer) == (int(expires_at), ISSUER)
    assert ISSUER in anna.printed('eval "$(oidc-token --env infncloud)"; echo $OIDC_ISS')


def test_oidc_token_by_issuer(anna: Server) -> None:
    assert claims(anna.printed(f"oidc-token {ISSUER}"))["preferred_username"] == "anna"
    assert claims(anna.printed(f"oidc-token {ISSUER}/"))["preferred_username"] == "anna"
    status, output = anna.run("oidc-token https://elsewhere.example.org")
    assert (status, "for that issuer; infncloud is of https://iam" in output) == (1, True)


def test_options_reach_the_hub(anna: Server) -> None:
    anna.printed("oidc-token --time 1234 --aud 'one two' --scope openid infncloud")
    assert anna.hub.queries[-1] == {"min_valid_period": ["1234"], "audience": ["one two"]}
    anna.printed("oidc-token --force-new infncloud")
    assert int(anna.hub.queries[-1]["min_valid_period"][0]) > 10**8


def test_accounts_are_listed(anna: Server) -> None:
    assert "infncloud" in anna.printed("oidc-add --loaded").split()


def test_liboidcagent(anna: Server) -> None:
    code = (
        "import liboidcagent as agent; "
        "print(agent.get_access_token('infncloud')); "
        f"print(agent.get_access_token_by_issuer_url('{ISSUER}')); "
        "print(agent.get_token_response('infncloud', 60, 'test')[1])"
    )
    first, second, issuer = anna.printed(f'python -c "{code}"').splitlines()
    assert claims(first)["preferred_username"] == claims(second)["preferred_username"] == "anna"
    assert issuer == ISSUER


@pytest.mark.parametrize(
    ("arguments", "refusal", "words"),
    [
        ("other", None, "No account configured with that short name"),
        ("--scope storage.write infncloud", None, "storage.write is not granted to infncloud"),
        ("--aud x infncloud", (403, 'The audience "x" is not.'), 'The audience "x" is not.'),
        ("infncloud", (403, "The login of anna has ended: log in again."), "log in again"),
        ("--aud new infncloud", (503, "No access tokens now."), "No access tokens now."),
    ],
)
def test_a_refusal_is_a_sentence(
    anna: Server, arguments: str, refusal: tuple[int, str] | None, words: str
) -> None:
    anna.hub.refusal = refusal
    status, output = anna.run(f"oidc-token {arguments}")
    assert words in output
    assert status == 1
    assert len(output.strip().splitlines()) == 1


def test_while_the_hub_is_away_the_last_token_serves(anna: Server) -> None:
    token = anna.printed("oidc-token infncloud")
    anna.hub.refusal = (502, "Bad gateway")
    begin = time.monotonic()
    assert anna.printed("oidc-token infncloud") == token
    status, output = anna.run("oidc-token --time 100000 infncloud")
    assert (status, "HTTP 502" in output) == (1, True)
    assert time.monotonic() - begin < 60


def test_what_disturbs_the_agent_does_not_disturb_jupyterlab(anna: Server) -> None:
    code = (
        "import os, socket\n"
        "for data in (b'x' * 100, b'{' * 100, b'A' * 10**6, b'9' * 44 + b':' * 50, b'\\0' * 44):\n"
        "    with socket.socket(socket.AF_UNIX) as client:\n"
        "        client.connect(os.environ['OIDC_SOCK'])\n"
        "        try: client.sendall(data)\n"
        "        except OSError: pass\n"
    )
    assert anna.container.exec_run(["python", "-c", code]).exit_code == 0
    status = "curl -s -o /dev/null -w '%{http_code}' ${JUPYTERHUB_SERVICE_URL}api"
    assert anna.printed(status) == "200"
    anna.printed("oidc-token infncloud")


def test_the_socket_is_the_users_alone(anna: Server) -> None:
    assert anna.printed("stat -c '%U %a' $(dirname $OIDC_SOCK)") == "jovyan 700"
    code = "import os, socket; socket.socket(socket.AF_UNIX).connect(os.environ['OIDC_SOCK'])"
    somebody = anna.container.exec_run(["python", "-c", code], user="65534")
    assert b"PermissionError" in somebody.output


@pytest.mark.parametrize(
    ("user", "words"), [(1000, "for programs that run in this server"), (65534, "PermissionError")]
)
def test_no_process_of_the_node_gets_a_token(anna: Server, user: int, words: str) -> None:
    """Not even one that has the number of the server's user."""
    anna.container.reload()
    inside = f"/proc/{anna.container.attrs['State']['Pid']}/root"
    path = inside + anna.printed("echo $OIDC_SOCK")
    code = (
        "import socket\n"
        "with socket.socket(socket.AF_UNIX) as client:\n"
        f"    client.connect('{path}')\n"
        """    client.send(b'{"request": "access_token", "account": "infncloud"}')\n"""
        "    print(client.recv(10000).decode())\n"
    )
    done = subprocess.run(
        ["python3", "-c", code], user=user, group=100, extra_groups=[], cwd="/",
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert words in done.stdout + done.stderr
    assert "access_token" not in done.stdout


def test_the_example_runs_as_it_is(
    anna: Server, config: Config, issuer: Issuer, tmp_path: Path
) -> None:
    store = Store(config)
    with ExitStack() as stack:
        stack.callback(store.stop)
        store.start()
        buckets.ensure_personal_bucket(config, "anna", issuer.keys("anna"))
        output = anna.printed("python examples/s3_oidc_agent.py")
    assert f"token      from {ISSUER}" in output
    assert "downloaded b'Hello from oidc-agent" in output
    assert "by link    b'Hello from oidc-agent" in output
    assert "examples/hello-oidc.txt" in output.splitlines()[-1]
