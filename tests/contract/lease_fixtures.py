"""Leases as they are in the store, of two nodes and one person."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quaderno.storage import leases
from quaderno.storage.leases import Lease
from tests.contract.node_fixtures import Node, running_node, second_node
from tests.contract.storage_fixtures import eventually

Pair = tuple[Node, Node]
SCRATCH = "scratch"  # the bucket
LOST = 10  # seconds until the lease is stale of a node that is not there
PUT = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
GET = "import sys; print(open(sys.argv[1]).read(), end='')"


@contextmanager
def two_nodes(make: pytest.TempPathFactory, **agent: Any) -> Iterator[Pair]:
    """With one store; the first one's agent has these settings."""
    with (
        running_node(make.mktemp("first"), **agent) as first,
        second_node(first, make.mktemp("second")) as second,
    ):
        yield first, second


def no_faults(pair: Pair) -> None:
    for node in pair:
        node.faults.switch("pass")


def lease_text(node: Node, user: str) -> bytes | None:
    """What is in the store now."""
    try:
        answer = node.s3(user).get_object(Bucket=SCRATCH, Key=leases.key(user))
        return bytes(answer["Body"].read())
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchKey"
        return None


def lease(node: Node, user: str) -> Lease | None:
    return Lease.read(lease_text(node, user) or b"")


def given_back(node: Node, user: str) -> Lease | None:
    """The lease, once it says that nobody has the storage."""
    found = lease(node, user)
    return found if found and found.returned else None


def put_lease(node: Node, user: str, body: bytes) -> None:
    node.s3(user).put_object(Bucket=SCRATCH, Key=leases.key(user), Body=body)


def of_a_lost_node(**changes: object) -> bytes:
    """A lease that nobody renews; its times are those of a clock that is far off."""
    long_ago = (datetime.now(UTC) - timedelta(days=400)).isoformat()
    fields = {"node": "lost", "name": "gone", "since": long_ago, "renewed": long_ago}
    dirty = {"files": 0, "bytes": 0}
    return json.dumps(fields | {"dirty": dirty, "lasts": LOST} | changes).encode()


def waits(node: Node, user: str, seconds: float = 60) -> dict[str, Any]:
    """Until it waits for another node."""

    def waiting() -> dict[str, Any] | None:
        state = node.state(user, 5)
        return state if state["state"] == "WAIT_LEASE" else None

    return dict(eventually(waiting, seconds, f"{user} waits for another node"))


def rescued(node: Node, user: str) -> dict[str, str]:
    """Content of what is kept aside, by the path of the file it was."""
    prefix = ".quaderno/rescued/"
    return {
        key.removeprefix(prefix).partition("/")[2]: node.content(user, key).decode()
        for key in node.keys_in_s3(user, user)
        if key.startswith(prefix) and not key.endswith("/")
    }


def all_sent(node: Node, user: str) -> bool:
    return bool(node.state(user)["pending"]["files"] == 0)


def said_to_be_clean(node: Node, user: str) -> bool:
    """All is sent, and the lease says so for good, if it has spoken of unsent files before: who
    looks at it later may take the storage by himself. Before that, word of them may be on its way.
    """
    found = lease(node, user)
    return bool(all_sent(node, user) and found and not found.files)


@contextmanager
def said_to_be_dirty(node: Node, user: str) -> Iterator[None]:
    """While a file is open for writing, of which the lease speaks by now."""
    with (node.config.mounts / user / user / "open.txt").open("w") as file:
        file.write("x" * 100)
        file.flush()
        os.fsync(file.fileno())

        def said() -> bool:
            found = lease(node, user)
            return bool(found and found.files)

        eventually(said, 60, "the lease says so")
        yield
