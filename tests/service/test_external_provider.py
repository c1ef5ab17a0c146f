"""Somebody whose name at another identity provider cannot name a bucket, from login to a file."""

from collections.abc import Iterator

import httpx
import pytest
from oidc_provider_mock import User, run_server_in_thread

from quaderno import names
from tests.service.running import Hub, Service, running_service, wait_for

# Of the provider, which calls its library in the way of an earlier version.
pytestmark = pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")

TWINS = {"s-1": "Ada@example.org", "s-2": "ADA@example.org"}


@pytest.fixture(scope="module")
def service(container_engine: None) -> Iterator[Service]:
    people = [User(sub=sub, claims={"preferred_username": name}) for sub, name in TWINS.items()]
    with run_server_in_thread(user_claims=people) as provider:
        issuer = f"http://localhost:{provider.server_port}"
        oidc = {"issuer": issuer, "scopes": ["openid", "profile"]}
        with running_service(iam={"embedded": False}, oidc=oidc) as service:
            yield service


def log_in(service: Service, subject: str) -> None:
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        asked = client.get(f"{service.config.public_url}/hub/oauth_login")
        client.post(asked.url, data={"sub": subject})
        home = client.get(f"{service.config.public_url}/hub/home")
        assert names.from_claim(TWINS[subject]) in home.text


WRITE = "open('/workarea/cloud_storage/{0}/whose.txt', 'w').write('{0}')"
STORED = "import boto3; boto3.client('s3').head_object(Bucket='{0}', Key='whose.txt')"
READ = """
import boto3
from botocore.exceptions import ClientError
s3 = boto3.client("s3")
print(s3.get_object(Bucket="{0}", Key="whose.txt")["Body"].read().decode())
for other in ("{1}", "ada"):
    try:
        s3.list_objects_v2(Bucket=other)
        print("open")
    except ClientError as error:
        print(error.response["Error"]["Code"])
"""


def test_twins_have_storage_of_their_own(service: Service) -> None:
    scopes = ("servers", "read:users", "list:users")
    options = [part for scope in scopes for part in ("--scope", scope)]
    token = service.quaderno("token", "create", "tests", *options).stdout.strip()
    hub = Hub(service.config.public_url, token)
    one, other = (names.from_claim(claim) for claim in TWINS.values())
    for subject, name in zip(TWINS, (one, other), strict=True):
        log_in(service, subject)
        hub.start(name)
        service.await_storage(name)
        service.inside(name, WRITE.format(name))
        # It counts as one that waits only some time after it was closed.
        stored = STORED.format(name)
        wait_for(
            lambda name=name, stored=stored: service.inside(name, stored, check=False)[0] == 0,  # type: ignore[misc]
            60,
            "the upload",
        )
    for name, twin in ((one, other), (other, one)):
        said = service.inside(name, READ.format(name, twin))[1]
        assert said.splitlines() == [name, "AccessDenied", "AccessDenied"]
        hub.stop(name)
