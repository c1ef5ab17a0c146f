"""One person's objects, read and written with their own keys while rclone cannot do it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
# 412: the condition does not hold; 409: somebody writes at this moment; 404: it is gone (S3's API,
# "Conditional writes").
_ANOTHER_BY_NOW = (404, 409, 412)


@dataclass(frozen=True)
class Object:
    """An object as it is now: bytes, Unix seconds, and the tag that names this content."""

    size: int
    modified: float
    etag: str


@dataclass(frozen=True)
class Content:
    """The beginning of an object, its tag, when it was written (Unix seconds), and how long ago
    that was (seconds), both by the store's clock."""

    body: bytes
    etag: str
    modified: float
    age: float


class Objects:
    """Every method blocks and raises StorageRefusedError or StorageError."""

    def __init__(self, config: Config, keys: Keys) -> None:
        self._endpoint = config.store_endpoint
        self._s3: S3Client = buckets.client(config, keys)

    def head(self, bucket: str, key: str) -> Object | None:
        """None when there is no such object."""
        with self._asking(f"show {bucket}/{key}"):
            try:
                answer = self._s3.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if _status(error) == 404:
                    return None
                raise
        modified = answer["LastModified"].timestamp()
        return Object(answer["ContentLength"], modified, answer["ETag"])

    def read(self, bucket: str, key: str, start: int, end: int, etag: str) -> bytes:
        """The bytes from `start` to before `end`, of the content that `etag` names."""
        with self._asking(f"read {bucket}/{key}"):
            answer = self._s3.get_object(
                Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=etag
            )
            return answer["Body"].read()

    def get(self, bucket: str, key: str, most: int) -> Content | None:
        """The first `most` bytes; None when there is no such object."""
        with self._asking(f"read {bucket}/{key}"):
            try:
                answer = self._s3.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if _status(error) == 404:
                    return None
                raise
            with answer["Body"] as body:
                content = body.read(most)
        modified = answer["LastModified"].timestamp()
        return Content(content, answer["ETag"], modified, _answered_at(answer) - modified)

    def put(self, bucket: str, key: str, source: Path) -> None:
        """Upload a file, in parts when it is large, with its modification time."""
        metadata = {_MTIME: f"{source.stat().st_mtime:.9f}"}
        with self._asking(f"take {bucket}/{key}"), TransferManager(self._s3, _TRANSFER) as manager:
            future = manager.upload(str(source), bucket, key, {"Metadata": metadata})
            future.result()

    def put_if(
        self,
        bucket: str,
        key: str,
        body: bytes,
        etag: str | None,
        metadata: Mapping[str, str] | None = None,
    ) -> str | None:
        """Write the object if it is the one that `etag` names, or, without, if there is none.

        Its new tag; None when it is another by now. A store may ignore the condition.
        """
        condition: Any = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        with self._asking(f"take {bucket}/{key}"):
            try:
                answer = self._s3.put_object(
                    Bucket=bucket, Key=key, Body=body, Metadata=metadata or {}, **condition
                )
            except ClientError as error:
                if _status(error) in _ANOTHER_BY_NOW:
                    return None
                raise
        return answer["ETag"]

    def delete(self, bucket: str, key: str) -> None:
        """Whatever it is."""
        with self._asking(f"delete {bucket}/{key}"):
            self._s3.delete_object(Bucket=bucket, Key=key)

    def copy(self, bucket: str, key: str, to: tuple[str, str]) -> None:
        """Copy an object inside the store, in parts when it is large, to a bucket and key."""
        source: Any = {"Bucket": bucket, "Key": key}
        with (
            self._asking(f"copy {bucket}/{key}"),
            TransferManager(self._s3, _TRANSFER) as manager,
        ):
            manager.copy(source, *to).result()

    def bucket_headers(self, bucket: str) -> Mapping[str, str]:
        """Of the answer to HEAD Bucket, in which some stores say how much it holds."""
        with self._asking(f"show {bucket}"):
            return self._s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]

    def page_size(self, bucket: str, token: str) -> tuple[int, str]:
        """Bytes of the next thousand objects, and the token of the page after them; both begin
        and end with an empty one."""
        more: Any = {"ContinuationToken": token} if token else {}
        with self._asking(f"list {bucket}"):
            page = self._s3.list_objects_v2(Bucket=bucket, **more)
        size = sum(entry["Size"] for entry in page.get("Contents", ()))
        return size, page.get("NextContinuationToken", "")

    def keys(self, bucket: str, prefix: str) -> list[str]:
        """Of the objects below `prefix`, directory markers not counted."""
        pages = self._s3.get_paginator("list_objects_v2")
        with self._asking(f"list {bucket}/{prefix}"):
            return [
                entry["Key"]
                for page in pages.paginate(Bucket=bucket, Prefix=prefix)
                for entry in page.get("Contents", ())
                if not entry["Key"].endswith("/")
            ]

    @contextmanager
    def _asking(self, action: str) -> Iterator[None]:
        """Turns what went wrong into a StorageError that says what was asked for."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise as_storage_error(error, action, self._endpoint) from error


def _status(error: ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)


def _answered_at(answer: Any) -> float:
    """When the store gave this answer (Unix seconds), by its own clock (RFC 9110, 6.6.1); by ours
    where it has none."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return parsedate_to_datetime(date).timestamp() if date else time.time()
