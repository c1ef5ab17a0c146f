"""What must exist in the object store before a person's mounts are made.

Everything is created with the person's own keys: there is no administrator's key that could leak,
and what the role's policy does not allow cannot happen here either.
"""

from typing import TYPE_CHECKING, cast

import botocore.session
from botocore.client import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from quaderno import names
from quaderno.config import Config
from quaderno.storage.sts import CONNECT_TIMEOUT, READ_TIMEOUT, Keys, as_storage_error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SESSION = botocore.session.get_session()  # its loader keeps the parsed service description


def ensure_personal_bucket(config: Config, username: str, keys: Keys) -> None:
    """Create the personal bucket of `username` unless it exists.

    Blocking. Raises StorageRefusedError when the store does not let them have it, StorageError
    when it cannot answer.
    """
    bucket = names.bucket(username)
    try:
        _create_bucket(client(config, keys), bucket, config.store.region)
    except (ClientError, BotoCoreError) as error:
        raise as_storage_error(
            error, f"open or create the bucket {bucket}", config.store_endpoint
        ) from error


def ensure_scratch_area(config: Config, username: str, keys: Keys) -> None:
    """Create the directory marker of the user's own area in the scratch bucket.

    It is the mount point of that area inside the read-only scratch mount. Errors as above.
    """
    s3, bucket, marker = client(config, keys), config.store.scratch_bucket, f"{username}/"
    try:
        if not _exists(s3, bucket, marker):
            s3.put_object(Bucket=bucket, Key=marker, ContentType="application/x-directory")
    except (ClientError, BotoCoreError) as error:
        raise as_storage_error(error, f"create {bucket}/{marker}", config.store_endpoint) from error


def client(config: Config, keys: Keys) -> "S3Client":
    """An S3 client with `keys`, by path-style addresses, which every S3 implementation knows."""
    s3 = _SESSION.create_client(
        "s3",
        region_name=config.store.region,
        endpoint_url=config.store_endpoint,
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
        aws_session_token=keys.session_token,
        config=ClientConfig(
            s3={"addressing_style": "path"},
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": 2},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    return cast("S3Client", s3)


def _create_bucket(s3: "S3Client", bucket: str, region: str) -> None:
    if _exists(s3, bucket):
        return
    try:
        if region == "us-east-1":  # the one region that must not be named as a constraint
            s3.create_bucket(Bucket=bucket)
        else:
            s3.create_bucket(
                Bucket=bucket,
                CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
            )
    except ClientError as error:
        # Another node may have been faster.
        if error.response.get("Error", {}).get("Code") != "BucketAlreadyOwnedByYou":
            raise


def _exists(s3: "S3Client", bucket: str, key: str = "") -> bool:
    try:
        if key:
            s3.head_object(Bucket=bucket, Key=key)
        else:
            s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return False
        raise
    return True
