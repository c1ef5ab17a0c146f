"""Every S3 client in a server, with keys that end soon, and with a hub or a store that is away."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from quaderno.config import Config
from quaderno.images import build
from quaderno.storage import buckets
from quaderno_server.s3_keys import CONFIRMED_FOR
from tests import clients
from tests.contract.server_fixtures import Server, running_server
from tests.contract.storage_fixtures import Issuer, Store, eventually, new_config

# Seconds that keys are said to last: so few that whoever is at work asks for others.
SOON = 8
LATER = 40  # the same, where there is to be time to use them


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = new_config(tmp_path_factory.mktemp("s3-clients"))
    store = config.store.model_copy(update={"key_lifetime": 900})
    return config.model_copy(update={"store": store})


@pytest.fixture(scope="module")
def store(config: Config) -> Iterator[Store]:
    store = Store(config)
    with ExitStack() as stack:
        stack.callback(store.stop)
        store.start()
        yield store


@pytest.fixture(scope="module")
def running(config: Config, store: Store) -> Iterator[Server]:
    """A server with all clients, and what they read in the store."""
    build.build_base(config, print)
    image = clients.image(build.base_reference(config))
    issuer = Issuer(config)
    with issuer.serving():
        buckets.ensure_personal_bucket(config, "anna", issuer.keys("anna"))
        with running_server(config, issuer, image) as anna:
            anna.hub.life = SOON
            anna.printed(clients.PREPARE)
            yield anna


@pytest.fixture
def anna(running: Server) -> Iterator[Server]:
    """Her server, whose log holds nothing that a person should worry about."""
    running.hub.heal()
    running.hub.life = SOON
    yield running
    assert "Traceback" not in running.logged()


@pytest.mark.parametrize("client", clients.RENEWING)
def test_a_client_at_work_renews_its_keys(anna: Server, client: str) -> None:
    before = anna.hub.keys_given
    anna.printed(f"rm -f {clients.ENOUGH}")
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(anna.run, f"timeout 300 {clients.RENEWING[client]}")
        try:
            eventually(lambda: work.done() or anna.hub.keys_given >= before + 3, 240, "renewals")
        finally:
            anna.printed(f"touch {clients.ENOUGH}")
        status, output = work.result()
    assert status == 0, output
    assert anna.hub.keys_given >= before + 3


def test_duckdb_renews_its_keys_when_the_store_refuses_them(anna: Server) -> None:
    before, anna.hub.spoiled = anna.hub.keys_given, 1
    assert anna.printed(clients.READING["DuckDB"]) == "45"
    assert anna.hub.keys_given > before + 1


OTHER_STORE = """
mkdir -p ~/.aws && chmod 700 ~/.aws
printf '[profile other]\\nendpoint_url = %s\\nregion = eu-south-1\\n' {endpoint} > ~/.aws/config
printf '[other]\\naws_access_key_id = %s\\naws_secret_access_key = %s\\naws_session_token = %s\\n' \
    {key} {secret} {token} > ~/.aws/credentials
unset AWS_CONFIG_FILE AWS_ENDPOINT_URL_S3 AWS_REGION AWS_DEFAULT_REGION
{command}
rm -r ~/.aws
"""


@pytest.mark.parametrize(
    "command",
    [
        "~/clients/bin/aws --profile other s3 ls",
        "python -c \"import boto3; s3 = boto3.Session(profile_name='other').client('s3');"
        " print(*[each['Name'] for each in s3.list_buckets()['Buckets']])\"",
    ],
)
def test_another_store_by_files_of_ones_own(anna: Server, config: Config, command: str) -> None:
    """It knows her as somebody else, who has another bucket."""
    keys = Issuer(config).keys("berta")
    buckets.ensure_personal_bucket(config, "berta", keys)
    lines = OTHER_STORE.format(
        endpoint=config.store_endpoint,
        key=keys.access_key_id,
        secret=keys.secret_access_key,
        token=keys.session_token,
        command=command,
    )
    listed = anna.printed(lines)
    assert "berta" in listed
    assert "anna" not in listed


# --- who does not get keys, and what they are told


def test_keys_are_for_who_can_read_the_token_alone(anna: Server) -> None:
    place = "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    assert anna.printed(f"stat -c '%U %a' {place} $(dirname {place})").split() == [
        *("jovyan", "600"),
        *("jovyan", "700"),
    ]
    curl = "curl -s -w ' %{http_code}' $AWS_CONTAINER_CREDENTIALS_FULL_URI"
    for header in ("", " -H 'Authorization: guessed'"):
        refused = anna.printed(curl + header)
        assert refused.endswith("403")
        assert "AccessKeyId" not in refused
    assert "AccessKeyId" in anna.printed(f'{curl} -H "Authorization: $(cat {place})"')


def test_no_key_is_in_the_environment(anna: Server) -> None:
    environment = anna.printed("env")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert name not in environment
    assert anna.printed("cat $AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") not in environment


@pytest.mark.parametrize("client", ["boto3", "s3fs", "AWS CLI", "rclone", "Polars without boto3"])
def test_an_ended_login_is_named_in_the_clients_own_form(anna: Server, client: str) -> None:
    anna.hub.refusal = (403, "The login of anna has ended: log in again.")
    status, output = anna.run(f"timeout 120 {clients.READING[client]}")
    assert status not in (0, 124), output
    assert "The login of anna has ended: log in again." in output


def test_the_program_for_credential_process_says_it_in_a_line(anna: Server) -> None:
    assert "SessionToken" in anna.printed("quaderno-credentials")
    assert anna.printed(f"AWS_PROFILE=process {clients.READING['AWS CLI']}") == "45"
    anna.hub.refusal = (403, "The login of anna has ended: log in again.")
    status, output = anna.run("quaderno-credentials")
    assert (status, output.count("\n")) == (1, 1)
    assert "log in again" in output


def test_while_the_hub_is_away_keys_serve_to_their_end(anna: Server) -> None:
    anna.hub.life = LATER
    anna.printed(clients.READING["boto3"])
    anna.hub.refusal = (502, "Bad gateway")
    assert anna.printed(f"curl -s {_KEYS}").startswith("{")
    assert '"AccessKeyId"' in anna.printed(f"curl -s {_KEYS}")
    eventually(lambda: "HubUnavailable" in anna.printed(f"curl -s {_KEYS}"), 120, "their end")
    status, output = anna.run(f"timeout 120 {clients.READING['boto3']}")
    assert status not in (0, 124), output
    assert "The hub gives no S3 keys (HTTP 502): Bad gateway" in output
    anna.hub.refusal = None
    assert anna.printed(clients.READING["boto3"]) == "45"


_KEYS = (
    '-H "Authorization: $(cat $AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)" '
    "$AWS_CONTAINER_CREDENTIALS_FULL_URI"
)


# --- from here on the server holds keys that last


def test_keys_of_fifteen_minutes_are_not_asked_for_each_time(anna: Server) -> None:
    """boto3 asks before each request, for it wants no keys that last less."""
    anna.hub.life, began = None, time.monotonic()
    anna.printed(clients.READING["boto3"])
    before = anna.hub.keys_given
    many = "for i in 1 2 3; do python ~/programs/with_boto3.py; done; " + clients.READING["pandas"]
    assert anna.printed(many).split() == ["45"] * 4
    assert anna.hub.keys_given - before <= (time.monotonic() - began) // CONFIRMED_FOR


def test_a_store_that_is_away_is_an_error_soon(anna: Server, store: Store) -> None:
    """Clients with numbers of their own; some of theirs would mean minutes."""
    trying = ("boto3", "s3fs", "PyArrow", "Polars without boto3", "DuckDB", "AWS CLI", "rclone")
    store.stop()
    with ThreadPoolExecutor(3) as pool:
        answers = pool.map(lambda client: anna.run(f"timeout 90 {clients.READING[client]}"), trying)
    for client, (status, output) in zip(trying, answers, strict=True):
        assert status not in (0, 124), (client, output)
        assert "connect" in output.lower(), (client, output)
    store.start()
    for client in ("boto3", "rclone"):
        assert anna.printed(clients.READING[client]) == "45"
