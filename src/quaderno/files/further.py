"""People's further buckets in the store. All functions block, and raise PageError.

They are found by their names, which begin with their owner's: nothing else knows of them.
"""

import itertools
from http import HTTPStatus
from typing import Any

from botocore.exceptions import ClientError

from quaderno import names
from quaderno.files.problems import PageError
from quaderno.files.store import Store, asking
from quaderno.quantities import say_amount

_TAKEN = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_MOST = 1000  # that one answer names
MOST_MEASURED = 20_000  # objects that are summed up while somebody looks


def all_of(store: Store, username: str) -> list[str]:
    """The names of the buckets."""
    prefix = names.further_prefix(username)
    with asking("list your buckets"):
        answer = store.s3.list_buckets(Prefix=prefix, MaxBuckets=_MOST)
    # Stores that do not know the prefix name whatever the keys may see.
    return sorted(one["Name"] for one in answer["Buckets"] if one["Name"].startswith(prefix))


def make(store: Store, username: str, name: str, most: int) -> str:
    """Create one of `most` buckets; what it is called."""
    problem = names.further_problem(username, name)
    if problem:
        raise PageError(HTTPStatus.BAD_REQUEST, f"“{name}” cannot be its name: {problem}.")
    bucket = names.further_prefix(username) + name
    there = all_of(store, username)
    if bucket in there:
        raise PageError(HTTPStatus.CONFLICT, f"You have a bucket “{name}” already.")
    if len(there) >= most:
        raise PageError(
            HTTPStatus.CONFLICT,
            f"You have {len(there)} further buckets, and may have {most}: delete one first.",
        )
    with asking(f"create the bucket “{name}”"):
        try:
            store.make(bucket)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _TAKEN:
                raise
    return bucket


def remove(store: Store, bucket: str) -> None:
    """Delete one that is empty."""
    with asking(f"delete the bucket “{names.owner(bucket)[1]}”"):
        store.s3.delete_bucket(Bucket=bucket)


def usage(store: Store, bucket: str, limit: int) -> dict[str, Any]:
    """{used, limit, text} of a bucket that may hold `limit` bytes (0: no limit), as the hub tells
    it of the personal one. No store says it to a person's keys, so what they may list is summed up:
    of the first MOST_MEASURED objects, and without earlier versions."""
    objects = store.below(bucket, "")
    used = sum(entry.size or 0 for entry in itertools.islice(objects, MOST_MEASURED))
    least = "At least " if any(True for _ in objects) else ""
    of = f" of {say_amount(limit)}" if limit else ""
    return {"used": used, "limit": limit, "text": f"{least}{say_amount(used)}{of} used"}
