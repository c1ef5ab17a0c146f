"""The credential_process program, run as the AWS SDKs run it, against a hub's endpoint."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from tests.unit.server.small_hub import PREFIX, TOKEN, SmallHub

SERVER = Path(__file__).parents[3] / "server"
KEYS = {
    "AccessKeyId": "ASIA1",
    "SecretAccessKey": "secret1",
    "Token": "session1",
    "Expiration": "2099-01-01T00:00:00Z",
}


class Hub(SmallHub):
    """Answers Anna's server with `answers`, and any other request as the hub does."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: tuple[int, bytes] = (200, json.dumps(KEYS).encode())

    def answer(self, method: str, path: str, authorization: str | None) -> tuple[int, bytes]:
        if (method, path) != ("GET", f"{PREFIX}s3-keys"):
            return 404, b""
        if authorization != f"token {TOKEN}":
            return 403, json.dumps({"message": "These are not your keys."}).encode()
        return self.answers


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    with hub.serving():
        yield hub


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(hub: Hub) -> Run:
    """Runs the program in the environment of Anna's server, changed as the keywords say."""

    def run(**changes: str | None) -> "subprocess.CompletedProcess[str]":
        environment = {"PYTHONPATH": str(SERVER), **hub.environment, **changes}
        return subprocess.run(
            [sys.executable, "-m", "quaderno_server.credentials"],
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_keys_come_in_the_form_of_the_protocol(run: Run) -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "Version": 1,
        "AccessKeyId": "ASIA1",
        "SecretAccessKey": "secret1",
        "SessionToken": "session1",
        "Expiration": "2099-01-01T00:00:00Z",
    }


def test_a_proxy_to_the_outside_is_not_asked_for_the_hub(run: Run) -> None:
    assert run(http_proxy="http://127.0.0.1:9").returncode == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            (403, b'{"message": "The login of anna has ended: log in again."}'),
            "no S3 keys (HTTP 403): The login of anna has ended: log in again.",
        ),
        ((403, b"<html>"), "no S3 keys (HTTP 403): log in again"),
        ((500, b"[]"), "no S3 keys (HTTP 500): try again in a minute"),
        ((502, b"Bad Gateway"), "the hub cannot be reached (HTTP 502); try again in a minute"),
        ((200, b"<html>"), "makes no sense"),
        ((200, b'{"AccessKeyId": "ASIA1"}'), "makes no sense"),
        ((200, b"[]"), "makes no sense"),
    ],
)
def test_a_refusal_is_one_line(run: Run, hub: Hub, answer: tuple[int, bytes], words: str) -> None:
    hub.answers = answer
    assert_one_line(run(), words)


def test_another_token_is_refused_in_the_hubs_words(run: Run) -> None:
    assert_one_line(run(JUPYTERHUB_API_TOKEN="other"), "These are not your keys.")


def test_a_hub_that_is_away_is_one_line(run: Run) -> None:
    assert_one_line(run(JUPYTERHUB_API_URL="http://127.0.0.1:9/hub/api"), "cannot be reached")


def test_outside_a_server_it_says_so(run: Run) -> None:
    assert_one_line(run(JUPYTERHUB_USER=None), "JUPYTERHUB_USER is not set")


def test_boto3_finds_and_renews_the_keys_by_itself(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    configuration = tmp_path / "config"
    program = f"{sys.executable} -m quaderno_server.credentials"
    configuration.write_text(f"[default]\ncredential_process = {program}\n")
    environment = {**hub.environment, "PYTHONPATH": str(SERVER)}
    for name, value in {**environment, "AWS_CONFIG_FILE": str(configuration)}.items():
        monkeypatch.setenv(name, value)
    credentials = boto3.Session().get_credentials()
    assert credentials
    assert credentials.get_frozen_credentials().token == "session1"
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    hub.answers = (200, json.dumps({**KEYS, "Expiration": soon}).encode())
    credentials = boto3.Session().get_credentials()
    assert credentials
    hub.answers = (200, json.dumps({**KEYS, "Token": "session2"}).encode())
    assert credentials.get_frozen_credentials().token == "session2"


def assert_one_line(done: "subprocess.CompletedProcess[str]", words: str) -> None:
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
