"""Versions of objects in one person's store. All functions block, and raise PageError."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.manager import TransferManager

from quaderno.files import places
from quaderno.files.store import Store, asking

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ListObjectVersionsOutputTypeDef

MOST_SHOWN = 200  # versions of one file


@dataclass(frozen=True)
class Keeping:
    """Whether the versions of a bucket's objects are kept from now on, and were ever."""

    now: bool
    ever: bool
    at: datetime  # by the clock of the store, whole seconds


@dataclass(frozen=True)
class Version:
    """Of an object; of one that was deleted the size is None."""

    id: str
    size: int | None
    modified: datetime
    latest: bool


def keeping(store: Store, bucket: str) -> Keeping | None:
    """How it is with `bucket`; None where the store has no versions, or does not let them say."""
    try:
        answer = store.s3.get_bucket_versioning(Bucket=bucket)
    except (ClientError, BotoCoreError):
        return None
    state = answer.get("Status")
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    at = parsedate_to_datetime(date) if date else datetime.now(UTC).replace(microsecond=0)
    return Keeping(state == "Enabled", state is not None, at)


def keep(store: Store, bucket: str, on: bool) -> None:
    """Keep versions from now on, or no longer; those that are there stay."""
    with asking("change whether versions are kept"):
        store.s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled" if on else "Suspended"}
        )


def of(store: Store, bucket: str, key: str) -> list[Version]:
    """The versions of `key`, the latest first."""
    with asking(f"list the versions of “{places.name_of(key)}”"):
        page = store.s3.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=MOST_SHOWN)
    written = [
        Version(v["VersionId"], v["Size"], v["LastModified"], v["IsLatest"])
        for v in page.get("Versions", ())
        if v["Key"] == key
    ]
    deleted = [
        Version(v["VersionId"], None, v["LastModified"], v["IsLatest"])
        for v in page.get("DeleteMarkers", ())
        if v["Key"] == key
    ]
    # Of one second, the store's order stays.
    return sorted([*deleted, *written], key=lambda v: (v.latest, v.modified), reverse=True)


def restore(store: Store, bucket: str, key: str, version: str) -> None:
    """Make a copy of `version` the latest one: nothing is lost by it."""
    source: Any = {"Bucket": bucket, "Key": key, "VersionId": version}
    action = f"restore “{places.name_of(key)}”"
    with asking(action), TransferManager(store.s3) as manager:
        manager.copy(source, bucket, key).result()


def undelete(store: Store, bucket: str, prefix: str, since: datetime, until: datetime) -> int:
    """Take back what was deleted below `prefix` from `since` to `until`; how many objects."""
    with asking("list what was deleted"):
        pages = store.s3.get_paginator("list_object_versions").paginate(
            Bucket=bucket, Prefix=prefix
        )
        markers = [found for page in pages for found in _deleted(page, since, until)]
    with asking("bring back what was deleted"):
        for key, version in markers:
            store.s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    return len(markers)


def _deleted(
    page: "ListObjectVersionsOutputTypeDef", since: datetime, until: datetime
) -> list[tuple[str, str]]:
    """(key, id) of the markers of deletions in that time, which hide what they are of."""
    second = timedelta(seconds=1)
    return [
        (found["Key"], found["VersionId"])
        for found in page.get("DeleteMarkers", ())
        if found["IsLatest"] and since <= found["LastModified"] < until + second
    ]
