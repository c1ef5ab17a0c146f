"""Sharing a further bucket, by a policy of the bucket: the store decides, and nobody else.

The policy names people as guests: sessions of a role that take the hub's word alone for who they
are (`storage.trust`). A notice, an object without content, tells each what is shared with them,
which no policy does. What blocks raises PageError.
"""

import json
from collections import Counter
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError

from quaderno import names
from quaderno.config import Config
from quaderno.files import places
from quaderno.files.problems import PageError
from quaderno.files.store import Store, asking

MOST_SHOWN = 200  # buckets that are shared with one person
_LIST = ["s3:ListBucket", "s3:GetBucketLocation"]
_READ = ["s3:GetObject", "s3:GetObjectAttributes"]
_WRITE = [
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
]
_SID = "QuadernoShared"  # of our statements, with how


def policy(config: Config, bucket: str, shares: dict[str, str]) -> dict[str, Any]:
    """The bucket's, for people by name and how they may use it; pure."""
    role = config.guest_role_arn.replace(":iam:", ":sts:", 1).replace(":role/", ":assumed-role/", 1)
    arn = f"arn:aws:s3:::{bucket}"
    statements = []
    for how in places.HOWS:
        people = [f"{role}/{person}" for person, theirs in sorted(shares.items()) if theirs == how]
        objects = [*_READ, *(_WRITE if how == "write" else ())]
        parts = (("Bucket", _LIST, arn), ("Objects", objects, f"{arn}/*"))
        statements += [
            {
                "Sid": f"{_SID}{how.title()}{part}",
                "Effect": "Allow",
                "Principal": {"AWS": people},
                "Action": actions,
                "Resource": [resource],
            }
            for part, actions, resource in parts
            if people
        ]
    return {"Version": "2012-10-17", "Statement": statements}


def shares_of(document: dict[str, Any]) -> dict[str, str] | None:
    """The reverse; None where somebody has written a policy of their own. Pure."""
    try:
        found = [(str(each["Sid"]), each["Principal"]["AWS"]) for each in document["Statement"]]
    except (KeyError, TypeError):  # open to everybody, for example
        return None
    shares: dict[str, str] = {}
    for sid, people in found:
        if not sid.startswith(_SID):
            return None
        for arn in [people] if isinstance(people, str) else people:
            shares[str(arn).rpartition("/")[2]] = "write" if "Write" in sid else "read"
    return shares


def shares(store: Store, bucket: str) -> dict[str, str] | None:
    """With whom `bucket` is shared and how; None where that is not ours to say."""
    try:
        with asking("see with whom this is shared"):
            try:
                return shares_of(json.loads(store.s3.get_bucket_policy(Bucket=bucket)["Policy"]))
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "NoSuchBucketPolicy":
                    raise
    except PageError as problem:
        if problem.status != HTTPStatus.FORBIDDEN:
            raise
        return None
    return {}


def share(store: Store, config: Config, bucket: str, person: str, how: str) -> None:
    """Let `person` read, or read and write; replaces what they could before. Somebody who has
    never used the store is nobody: whoever took that name later would have it."""
    known = names.storage_problem(person) is None and store.exists(
        config.store.scratch_bucket, f"{person}/"
    )
    if not known or person == names.owner(bucket)[0]:
        raise PageError(
            HTTPStatus.BAD_REQUEST,
            f"There is nobody else called “{person}” who has used their files here: ask them for "
            "their username, and to open this page once.",
        )
    _change(store, config, bucket, {person: how})
    with asking(f"tell {person} about it"):
        store.s3.put_object(Bucket=names.NOTICES, Key=_notice(person, bucket, how))


def stop(store: Store, config: Config, bucket: str, person: str) -> None:
    """Nothing of `bucket` is open to `person` any more."""
    _change(store, config, bucket, {person: ""})


def forget(store: Store, bucket: str, people: dict[str, str]) -> None:
    """Take back the notices about a bucket that is gone."""
    for person, how in people.items():
        _take_back(store, person, bucket, how)


def with_me(store: Store, username: str, most: int) -> list[str]:
    """The areas that others share with `username`, with their keys as a guest: no more than `most`
    of one person, who can tell of buckets that are not there."""
    prefix, after, told, areas = f"{username}/", "", Counter[str](), list[str]()
    with asking("see what is shared with you"):
        while len(areas) < MOST_SHOWN:
            page = store.s3.list_objects_v2(
                Bucket=names.NOTICES, Prefix=prefix, StartAfter=after, MaxKeys=MOST_SHOWN
            )
            for found in page.get("Contents", ()):
                after = found["Key"]
                bucket, _, how = after.removeprefix(prefix).partition("/")
                owner = names.owner(bucket)[0]
                told[owner] += 1
                if told[owner] <= most:
                    areas.append(f"{bucket}:{how}")
            if not page["IsTruncated"]:
                break
            if told[owner] >= most:
                after = f"{prefix}{owner}-."  # after all that begins with their name and "--"
    return sorted(areas)


def _change(store: Store, config: Config, bucket: str, change: dict[str, str]) -> None:
    before = shares(store, bucket)
    if before is None:
        raise PageError(
            HTTPStatus.CONFLICT,
            "This bucket has a policy that was not made here: change it with an S3 program.",
        )
    after = {person: how for person, how in (before | change).items() if how}
    with asking("share this bucket"):
        if after:
            text = json.dumps(policy(config, bucket, after))
            store.s3.put_bucket_policy(Bucket=bucket, Policy=text)
        elif before:
            store.s3.delete_bucket_policy(Bucket=bucket)
    for person, how in before.items():
        if after.get(person) != how:
            _take_back(store, person, bucket, how)


def _take_back(store: Store, person: str, bucket: str, how: str) -> None:
    with asking(f"take the notice for {person} back"):
        store.s3.delete_object(Bucket=names.NOTICES, Key=_notice(person, bucket, how))


def _notice(person: str, bucket: str, how: str) -> str:
    return f"{person}/{bucket}/{how}"
