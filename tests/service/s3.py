"""The object store as a person's own S3 client sees it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError

from tests.service.running import Hub, Service

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class ObjectStore:
    """S3 with one person's keys, at the public endpoint."""

    client: "S3Client"

    def read(self, bucket: str, key: str) -> bytes | None:
        """The object's bytes, None when there is no such object."""
        try:
            return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise

    def refuses(self, method: str, **arguments: object) -> bool:
        """Whether the store denies access."""
        try:
            getattr(self.client, method)(**arguments)
        except ClientError as error:
            return error.response["Error"]["Code"] in ("AccessDenied", "403")
        return False


def keys(service: Service, username: str) -> dict[str, str]:
    """A person's S3 keys, with a token that gets theirs alone."""
    scope = f"custom:quaderno:s3-keys!user={username}"
    token = service.quaderno("token", "create", f"keys-of-{username}", "--scope", scope)
    hub = Hub(service.config.public_url, token.stdout.strip())
    answer = hub.request("GET", f"/quaderno/users/{username}/s3-keys")
    assert answer.status_code == 200, answer.text
    found: dict[str, str] = answer.json()
    return found


def object_store(service: Service, username: str) -> ObjectStore:
    """The store, opened with the keys of `username`."""
    found = keys(service, username)
    client = boto3.client(
        "s3",
        endpoint_url=service.config.store_public_endpoint,
        region_name=service.config.store.region,
        aws_access_key_id=found["AccessKeyId"],
        aws_secret_access_key=found["SecretAccessKey"],
        aws_session_token=found["Token"],
        config=ClientConfig(s3={"addressing_style": "path"}),
    )
    return ObjectStore(client)
