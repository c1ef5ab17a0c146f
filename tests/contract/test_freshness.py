"""What was changed elsewhere shows, and directories stay known while the store is away."""

import time
from collections.abc import Iterator

import httpx
import pytest

from quaderno.storage import mounts
from tests.contract.node_fixtures import WRITE, Node, as_user, running_node
from tests.contract.storage_fixtures import eventually

EACH = 15  # seconds until changes made elsewhere show; the least
LIST = "import os, sys; d = sys.argv[1]; print(sorted(os.listdir(d) if os.path.isdir(d) else []))"
DEEP = "project/data/raw"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("r"), refresh=EACH) as node:
        yield node


@pytest.fixture(autouse=True)
def _no_fault_is_left(node: Node) -> Iterator[None]:
    yield
    node.faults.switch("pass")


def all_sent(node: Node, user: str) -> bool:
    return bool(node.state(user)["pending"]["files"] == 0)


def put(node: Node, user: str, *keys: str) -> None:
    for key in keys:
        node.s3(user).put_object(Bucket=user, Key=key, Body=b"by S3")


def test_changes_made_elsewhere_show_everywhere(node: Node) -> None:
    """In directories with cached files, in those without, and in those that have just come."""
    root = node.ready("alice")
    as_user("import os, sys; os.makedirs(sys.argv[1])", root / "alice", DEEP)
    assert as_user(WRITE, root / "alice" / DEEP, "mine.txt") == ""
    put(node, "alice", "idle/old.txt")
    eventually(lambda: as_user(LIST, root / "alice", "idle") == "['old.txt']", 60, "a new one")
    put(node, "alice", "idle/new.txt", f"{DEEP}/new.txt", "project/new.txt", "top.txt")
    node.s3("alice").delete_object(Bucket="alice", Key="idle/old.txt")
    for directory, expected in {
        "idle": "['new.txt']",
        DEEP: "['mine.txt', 'new.txt']",
        "project": "['data', 'new.txt']",
        ".": "['idle', 'project', 'top.txt']",
    }.items():
        eventually(
            lambda d=directory, e=expected: as_user(LIST, root / "alice", d) == e,  # type: ignore[misc]
            60,
            f"{directory} shows it",
        )


def test_directories_stay_known_while_the_store_is_away(node: Node) -> None:
    """Much longer than the time after which they are read anew; a refresh changes nothing."""
    root = node.ready("bob")
    as_user("import os, sys; os.makedirs(sys.argv[1])", root / "bob", DEEP)
    assert as_user(WRITE, root / "bob" / DEEP, "first.txt") == ""
    assert as_user(WRITE, root / "scratch" / "bob", "first.txt") == ""
    eventually(lambda: node.has_sent("bob", f"{DEEP}/first.txt"), 60, "all is sent")
    node.faults.switch("away")
    until, number = time.monotonic() + 2 * EACH + 5, 0
    while time.monotonic() < until:
        number += 1
        for directory in (root / "bob" / DEEP, root / "bob", root / "scratch" / "bob"):
            assert as_user(WRITE, directory, f"{number}.txt") == ""
        if number == 5:
            assert node.client.post("/users/bob/refresh").status_code == 503
    assert as_user(LIST, root / "bob" / DEEP, ".").count(".txt") == number + 1
    node.faults.switch("pass")
    eventually(lambda: all_sent(node, "bob"), 60, "all is sent")
    names = {f"{DEEP}/{each}.txt" for each in range(1, number + 1)}
    assert names <= node.keys_in_s3("bob", "bob")


def test_used_directories_are_known_after_a_restart_of_the_mounts(node: Node) -> None:
    """Nobody has looked into them since."""
    root = node.ready("carol")
    as_user("import os, sys; os.makedirs(sys.argv[1])", root / "carol", DEEP)
    assert as_user(WRITE, root / "carol" / DEEP, "first.txt") == ""
    eventually(lambda: all_sent(node, "carol"), 60, "all is sent")
    node.release("carol")
    node.in_state("carol", "UNMOUNTED", 60)
    node.ready("carol")
    eventually(lambda: _known(node, "carol") >= 4, 60, "the top and what is used is read")
    node.faults.switch("away")
    assert as_user(WRITE, root / "carol" / DEEP, "second.txt") == ""


def _known(node: Node, user: str) -> int:
    """How many entries of their bucket's directories rclone knows, in those that it has read: it
    knows a directory before that."""
    socket = str(mounts.plan(node.config, user).socket)
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket)) as client:
        stats = client.post("http://rclone/vfs/stats", json={"fs": f"home:{user}"}).json()
    return int(stats["metadataCache"]["files"])  # and directories
