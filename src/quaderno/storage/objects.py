"""One person's objects, read and written with their own keys while rclone cannot do it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.manager import TransferConfig, TransferManager

from quaderno.config import Config
from quaderno.storage import buckets
from quaderno.storage.sts import Keys, as_storage_error

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_TRANSFER = TransferConfig(max_request_concurrency=2, max_in_memory_upload_chunks=2)
# Where rclone keeps a file's modification time, in Unix seconds (its S3 backend's documentation).
_MTIME = "mtime"


@dataclass(frozen=True)
class Object:
    """An object as it is now: bytes, Unix seconds, and the tag that names this content."""

    size: int
    modified: float
    etag: str


class Objects:
    """Every method blocks and raises StorageRefusedError or StorageError."""

    def __init__(self, config: Config, keys: Keys) -> None:
        self._endpoint = config.store_endpoint
        self._s3: S3Client = buckets.client(config, keys)

    def head(self, bucket: str, key: str) -> Object | None:
        """None when there is no such object."""
        try:
            answer = self._s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                return None
            raise as_storage_error(error, f"show {bucket}/{key}", self._endpoint) from error
        except BotoCoreError as error:
            raise as_storage_error(error, f"show {bucket}/{key}", self._endpoint) from error
        modified = answer["LastModified"].timestamp()
        return Object(answer["ContentLength"], modified, answer["ETag"])

    def read(self, bucket: str, key: str, start: int, end: int, etag: str) -> bytes:
        """The bytes from `start` to before `end`, of the content that `etag` names."""
        try:
            answer = self._s3.get_object(
                Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=etag
            )
            return answer["Body"].read()
        except (ClientError, BotoCoreError) as error:
            raise as_storage_error(error, f"read {bucket}/{key}", self._endpoint) from error

    def put(self, bucket: str, key: str, source: Path) -> None:
        """Upload a file, in parts when it is large, with its modification time."""
        metadata = {_MTIME: f"{source.stat().st_mtime:.9f}"}
        try:
            with TransferManager(self._s3, _TRANSFER) as manager:
                future = manager.upload(str(source), bucket, key, {"Metadata": metadata})
                future.result()
        except (ClientError, BotoCoreError) as error:
            raise as_storage_error(error, f"take {bucket}/{key}", self._endpoint) from error

    def bucket_headers(self, bucket: str) -> Mapping[str, str]:
        """Of the answer to HEAD Bucket, in which some stores say how much it holds."""
        try:
            answer = self._s3.head_bucket(Bucket=bucket)
        except (ClientError, BotoCoreError) as error:
            raise as_storage_error(error, f"show {bucket}", self._endpoint) from error
        return answer["ResponseMetadata"]["HTTPHeaders"]

    def page_size(self, bucket: str, token: str) -> tuple[int, str]:
        """Bytes of the next thousand objects, and the token of the page after them; both begin
        and end with an empty one."""
        more = {"ContinuationToken": token} if token else {}
        try:
            page = self._s3.list_objects_v2(Bucket=bucket, **more)  # type: ignore[arg-type]
        except (ClientError, BotoCoreError) as error:
            raise as_storage_error(error, f"list {bucket}", self._endpoint) from error
        size = sum(entry["Size"] for entry in page.get("Contents", ()))
        return size, page.get("NextContinuationToken", "")

    def count(self, bucket: str, prefix: str) -> int:
        """How many objects there are below `prefix`, directory markers not counted."""
        pages = self._s3.get_paginator("list_objects_v2")
        try:
            return sum(
                not entry["Key"].endswith("/")
                for page in pages.paginate(Bucket=bucket, Prefix=prefix)
                for entry in page.get("Contents", ())
            )
        except (ClientError, BotoCoreError) as error:
            raise as_storage_error(error, f"list {bucket}/{prefix}", self._endpoint) from error
