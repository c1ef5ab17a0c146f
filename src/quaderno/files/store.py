"""The object store with one person's keys. All methods but `sign` and `link` block, and raise
PageError."""

import builtins
import contextlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.client import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.manager import TransferConfig, TransferManager

from quaderno.config import Config
from quaderno.files import finding, places, problems
from quaderno.files.places import Entry, Listing
from quaderno.files.problems import NoBucketError, PageError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE = 200  # entries
MOST_SORTED = 10_000  # entries of a folder that are put into another order than the store's
MOST_SEARCHED = 10_000  # objects that one page of a search looks at
MOST_COPIES = 1000  # objects of a folder that are copied while somebody waits
_BATCH = 1000  # objects that one request deletes at most (Amazon S3 API, DeleteObjects)
SPARE = 30  # seconds of the life of new keys that asking for them and using them may take
_CHUNK = 1 << 20  # bytes of an object in memory
_SESSION = botocore.session.get_session()  # its loader keeps the parsed service description
_TRANSFER = TransferConfig(max_request_concurrency=4)


@dataclass(frozen=True)
class Keys:
    """One person's; `end` is an aware datetime."""

    access: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    end: datetime
    got: datetime = field(default_factory=lambda: datetime.now(UTC))

    def longest(self) -> int:
        """Seconds for which a link lives at most: as long as new ones, which it is signed with."""
        return whole_minutes((self.end - self.got).total_seconds() - SPARE)

    def left(self) -> float:
        """Seconds of life."""
        return (self.end - datetime.now(UTC)).total_seconds()


def whole_minutes(seconds: float) -> int:
    """The most of these in `seconds`, in seconds; or those, where it is not a minute."""
    return max(0, int(seconds)) if seconds < 60 else int(seconds) // 60 * 60


class Store:
    """What the keys allow, the store decides."""

    def __init__(self, config: Config, keys: Keys) -> None:
        self.keys = keys
        self.s3 = _client(config, keys, config.store_endpoint)
        self._scratch = config.store.scratch_bucket
        region = config.store.region  # us-east-1 is the one that must not be named
        constraint = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self._where: Any = {} if region == "us-east-1" else constraint
        public = config.store_public_endpoint if config.files.direct else config.store_endpoint
        self._signer = _client(config, keys, public)

    def look(self, bucket: str, prefix: str, after: str) -> Listing:
        """As `list`, of a bucket that is made if the person's own is not there yet."""
        try:
            return self.list(bucket, prefix, after)
        except NoBucketError:
            with asking("create your bucket"):
                self.make(bucket)
            self.make_folder(self._scratch, f"{bucket}/")  # which shows others that they are here
            return self.list(bucket, prefix, after)

    def make(self, bucket: str) -> None:
        """Create a bucket. Raises ClientError and BotoCoreError."""
        self.s3.create_bucket(Bucket=bucket, **self._where)

    def list(self, bucket: str, prefix: str, after: str = "", most: int = PAGE) -> Listing:
        """A page of the folder `prefix`, from the token `after` of the page before."""
        more: Any = {"ContinuationToken": after} if after else {}
        with asking("list this folder"):
            page = self.s3.list_objects_v2(
                Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=most, **more
            )
        folders = [Entry(found["Prefix"]) for found in page.get("CommonPrefixes", ())]
        files = [
            Entry(found["Key"], found["Size"], found["LastModified"])
            for found in page.get("Contents", ())
            if found["Key"] != prefix or found["Size"]  # else it says that the folder exists
        ]
        return Listing([*folders, *files], page.get("NextContinuationToken", ""))

    def list_all(self, bucket: str, prefix: str) -> Listing:
        """The whole folder `prefix`, or its first MOST_SORTED entries with `more`."""
        entries: list[Entry] = []
        more = ""
        while len(entries) < MOST_SORTED:
            page = self.list(bucket, prefix, more, _BATCH)
            entries += page.entries
            more = page.more
            if not more:
                break
        return Listing(entries, more)

    def search(self, bucket: str, prefix: str, wanted: str, after: str = "") -> Listing:
        """A page of what is below `prefix` and has `wanted` in its name; `after` is the key of the
        object at which the page before ended."""
        finder, hits, last = finding.Finder(prefix, wanted, after), [], ""
        below = self.below(bucket, prefix, after)
        for entry in itertools.islice(below, MOST_SEARCHED):
            hits += [entry if key == entry.key else Entry(key) for key in finder.found(entry.key)]
            last = entry.key
            if len(hits) >= PAGE:
                break
        return Listing(hits, last if any(True for _ in below) else "")

    def show(self, bucket: str, key: str, version: str = "") -> Entry:
        """What is known of an object, or of one `version` of it."""
        with asking(f"show “{places.name_of(key)}”"):
            found = self.s3.head_object(Bucket=bucket, Key=key, **_version(version))
        return Entry(key, found["ContentLength"], found["LastModified"])

    def exists(self, bucket: str, key: str) -> bool:
        """Whether there is such an object, or anything in such a folder."""
        if key.endswith("/"):
            return any(True for _ in itertools.islice(self.below(bucket, key), 1))
        try:
            self.show(bucket, key)
        except PageError as problem:
            if problem.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    def below(self, bucket: str, prefix: str, after: str = "") -> Iterator[Entry]:
        """All objects whose keys begin with `prefix`, and come after the key `after`."""
        paginator = self.s3.get_paginator("list_objects_v2")
        pages = paginator.paginate(Bucket=bucket, Prefix=prefix, StartAfter=after)
        with asking("list this folder"):
            for page in pages:
                for found in page.get("Contents", ()):
                    yield Entry(found["Key"], found["Size"], found["LastModified"])

    def first_below(self, bucket: str, prefix: str, most: int) -> builtins.list[Entry]:
        """The first `most` of all objects whose keys begin with `prefix`."""
        return [*itertools.islice(self.below(bucket, prefix), most)]

    def read(self, bucket: str, entry: Entry) -> Iterator[bytes]:
        """The object, whole or not at all: raises PageError where it is not as `entry` says."""
        left = entry.size or 0
        with asking(f"read “{places.name_of(entry.key)}”"):
            body = self.s3.get_object(Bucket=bucket, Key=entry.key)["Body"]
            with contextlib.closing(body):
                for chunk in body.iter_chunks(_CHUNK):
                    left -= len(chunk)
                    yield chunk
        if left:
            raise PageError(
                HTTPStatus.CONFLICT, f"“{places.name_of(entry.key)}” was changed meanwhile."
            )

    def begin(self, bucket: str, key: str, most: int) -> bytes:
        """The first `most` bytes of an object."""
        with asking(f"read “{places.name_of(key)}”"):
            found = self.s3.get_object(Bucket=bucket, Key=key)
            with contextlib.closing(found["Body"]) as body:
                return body.read(most)

    def make_folder(self, bucket: str, key: str) -> None:
        """The marker of an empty folder, as rclone makes it."""
        with asking(f"make the folder “{places.name_of(key)}”"):
            self.s3.put_object(Bucket=bucket, Key=key, ContentType="application/x-directory")

    def delete(self, bucket: str, key: str) -> int:
        """Delete an object, or a folder with all that is in it; how many objects that were."""
        keys = iter([key])
        if key.endswith("/"):
            keys = itertools.chain((entry.key for entry in self.below(bucket, key)), keys)
        return self._delete_all(bucket, keys, key)

    def _delete_all(self, bucket: str, keys: Iterator[str], key: str) -> int:
        """Delete `keys`, of which `key` is the object or the folder that somebody named."""
        count = 0
        while batch := list(dict.fromkeys(itertools.islice(keys, _BATCH))):
            with asking(f"delete “{places.name_of(key)}”"):
                answer = self.s3.delete_objects(
                    Bucket=bucket,
                    Delete={"Objects": [{"Key": one} for one in batch], "Quiet": True},
                )
            if answer.get("Errors"):
                raise _refused(answer["Errors"][0], key)
            count += len(batch)
        return count

    def copy(self, bucket: str, key: str, to_bucket: str, to_key: str) -> None:
        """Copy an object, or a folder with all that is in it, within the store."""
        found = [Entry(key)]
        if key.endswith("/"):
            found = list(itertools.islice(self.below(bucket, key), MOST_COPIES + 1))
        if len(found) > MOST_COPIES:
            raise PageError(
                HTTPStatus.BAD_REQUEST,
                f"The folder holds more than {MOST_COPIES:,} files: copy it in your server.",
            )
        names = {entry.key: to_key + entry.key.removeprefix(key) for entry in found}
        # SeaweedFS lists the markers of folders, and does not let them be copied.
        markers = [e.key for e in found if e.key.endswith("/") and e.size == 0]
        for marker in markers:
            self.make_folder(to_bucket, names.pop(marker))
        action = f"copy “{places.name_of(key)}” to “{places.name_of(to_key)}”"
        with asking(action), TransferManager(self.s3, _TRANSFER) as manager:
            waiting = [
                manager.copy({"Bucket": bucket, "Key": one}, to_bucket, name)
                for one, name in names.items()
            ]
            for copy in waiting:
                copy.result()

    def move(self, bucket: str, key: str, to_bucket: str, to_key: str) -> None:
        """Copy, and when all is copied delete what was copied: what somebody has added or changed
        meanwhile stays where it is."""
        before = self._found(bucket, key)
        self.copy(bucket, key, to_bucket, to_key)
        now = self._found(bucket, key)
        copied = [entry.key for entry in now if entry in before]
        if key.endswith("/") and len(copied) == len(now):
            copied.append(key)
        self._delete_all(bucket, iter(copied), key)

    def _found(self, bucket: str, key: str) -> builtins.list[Entry]:
        """The object, or what is in the folder."""
        if key.endswith("/"):
            return self.first_below(bucket, key, MOST_COPIES + 1)
        return [entry for entry in self.first_below(bucket, key, 1) if entry.key == key]

    def link(self, bucket: str, key: str, seconds: int, version: str = "") -> str:
        """An address at which anybody downloads the object for `seconds`, with ranges."""
        name = places.disposition(key)
        parameters = {"Bucket": bucket, "Key": key, "ResponseContentDisposition": name}
        return self._sign("get_object", parameters | _version(version), seconds)

    def sign(self, operation: str, bucket: str, key: str, **more: Any) -> str:
        """An address for one request of an upload; it lives an hour, or as long as the keys."""
        seconds = min(3600, int(self.keys.left()))
        return self._sign(operation, {"Bucket": bucket, "Key": key, **more}, seconds)

    def _sign(self, operation: str, parameters: dict[str, Any], seconds: int) -> str:
        return self._signer.generate_presigned_url(operation, parameters, ExpiresIn=seconds)


def _version(version: str) -> Any:
    """The parameter that means the latest one when it is not there."""
    return {"VersionId": version} if version else {}


def _client(config: Config, keys: Keys, endpoint: str) -> "S3Client":
    """With path-style addresses, which every S3 implementation knows."""
    s3 = _SESSION.create_client(
        "s3",
        region_name=config.store.region,
        endpoint_url=endpoint,
        aws_access_key_id=keys.access,
        aws_secret_access_key=keys.secret,
        aws_session_token=keys.token,
        config=ClientConfig(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=3,
            read_timeout=20,
            retries={"total_max_attempts": 2},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    return cast("S3Client", s3)


@contextmanager
def asking(action: str) -> Iterator[None]:
    """Turns what went wrong into a sentence that says what was asked for."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise problems.of_store(error, action) from error


def _refused(error: Any, key: str) -> PageError:
    """The first of the objects that the store did not delete."""
    response: Any = {"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403}}
    name = places.name_of(error.get("Key", key))
    return problems.of_store(ClientError(response, "DeleteObjects"), f"delete “{name}”")
