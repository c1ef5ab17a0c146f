"""People's further buckets in the store. All functions block, and raise PageError.

They are found by their names, which begin with their owner's: nothing else knows of them.
"""

from http import HTTPStatus

from botocore.exceptions import ClientError

from quaderno import names
from quaderno.files.problems import PageError
from quaderno.files.store import Store, asking

_TAKEN = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_MOST = 1000  # that one answer names


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
