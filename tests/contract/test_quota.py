"""Quotas of personal buckets on the real store: what programs, people and S3 clients notice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from botocore.exceptions import ClientError

from quaderno import config as configuration
from quaderno.storage import seaweedfs_quota
from tests.contract.node_fixtures import WRITE, Node, as_user, running_node
from tests.contract.storage_fixtures import eventually, new_config

MB = 2**20
LIMIT = 8 * MB
WRITE_MB = """
import errno, os, sys
try:
    with open(sys.argv[1], "wb") as file:
        for _ in range(int(sys.argv[2])):
            file.write(os.urandom(2**20))  # the store compresses what it can
except OSError as error:
    print(errno.errorcode[error.errno])
"""
MAY_WRITE = "import os; print(os.access('.', os.W_OK))"
DELETE = "import os, sys; os.unlink(sys.argv[1])"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("q")) as node:
        yield node


def with_quota(node: Node, user: str) -> Path:
    """Their `cloud_storage`, whose bucket may hold LIMIT bytes, once the store knows it."""
    node.hub.quotas[user] = LIMIT
    root = node.ready(user)
    eventually(lambda: quota(node, user).get("limit") == LIMIT, 60, "the limit is known")
    return root


def quota(node: Node, user: str) -> dict[str, Any]:
    return node.state(user)["quota"] or {}


def cleaning(node: Node, user: str) -> dict[str, Any] | None:
    """How it is, once the bucket is full and may be written to all the same."""
    told = dict(node.client.post(f"/users/{user}/clean-up").json())
    return told if told["quota"]["cleaning"] else None


def full(node: Node, user: str) -> Path:
    """The same, with two files that are more than the quota."""
    root = with_quota(node, user)
    for name, size in (("large", 6), ("small", 3)):
        assert as_user(WRITE_MB, root / user, name, size) == ""
        saved(node, user, name)
    refused(root / user)
    return root


def refused(directory: Path) -> None:
    """The kernel refuses to have anything written there."""
    eventually(lambda: as_user(MAY_WRITE, directory) == "False", 90, "writes are refused")
    assert as_user(WRITE, directory, "x.txt") == "EROFS"


def saved(node: Node, user: str, name: str) -> None:
    eventually(lambda: name in node.keys_in_s3(user, user), 60, f"{name} is in the store")


def put(node: Node, user: str, size: int, key: str = "by-s3") -> str:
    """What the store itself answers to a plain S3 client; nothing when it takes the object."""
    try:
        node.s3(user).put_object(Bucket=user, Key=key, Body=os.urandom(size))
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_full_quota_is_told_at_once_and_ends_when_files_are_deleted(node: Node) -> None:
    root = with_quota(node, "alice")
    assert as_user(WRITE_MB, root / "alice", "first", 4) == ""
    eventually(lambda: quota(node, "alice")["used"] >= 4 * MB, 60, "the use shows")
    assert node.state("alice")["level"] == "ok"
    assert as_user(WRITE_MB, root / "alice", "second", 3) == ""
    told = eventually(
        lambda: "of your quota" in (s := node.state("alice"))["message"] and s, 60, "notice"
    )
    assert told["level"] == "warning"
    assert not told["quota"]["full"]
    assert as_user(WRITE_MB, root / "alice", "third", 2) == ""
    refused(root / "alice")
    told = node.state("alice")
    assert (told["level"], told["read_only"]) == ("error", True)
    assert told["message"] == "Your quota of 8 MB is used up: delete what you do not need."
    assert as_user(WRITE, root / "scratch" / "alice", "shared.txt") == "", "scratch goes on"
    saved(node, "alice", "third")
    assert as_user("import os; print(len(open('first', 'rb').read()))", root / "alice") == str(
        4 * MB
    )

    allowed = eventually(lambda: cleaning(node, "alice"), 60, "it may be cleaned up")
    assert 0 < allowed["quota"]["cleaning"] <= 900
    assert "you can delete files" in allowed["message"]
    as_user(DELETE, root / "alice", "first")
    eventually(lambda: not quota(node, "alice")["full"], 60, "there is room again")
    eventually(lambda: as_user(WRITE, root / "alice", "more.txt") == "", 60, "it may be written to")
    saved(node, "alice", "more.txt")
    assert quota(node, "alice")["cleaning"] is None


def test_a_full_quota_blocks_no_start_and_no_stop(node: Node) -> None:
    root = full(node, "bob")
    node.release("bob")
    node.in_state("bob", "UNMOUNTED", 60)
    node.agent.stop(signal.SIGTERM)
    node.start_agent()
    eventually(lambda: quota(node, "bob").get("full"), 60, "it is told without a server, too")
    node.ready("bob")
    assert as_user("import os; print(sorted(os.listdir('.')))", root / "bob") == str(
        ["large", "small"]
    )
    refused(root / "bob")
    assert as_user(WRITE, root / "scratch" / "bob", "x.txt") == ""


def test_the_store_itself_is_the_wall(node: Node) -> None:
    """Whoever writes past the mounts; to delete is possible at any time."""
    with_quota(node, "carol")
    assert put(node, "carol", 9 * MB, "large") == ""
    eventually(lambda: put(node, "carol", 1000), 120, "the store refuses")
    eventually(lambda: quota(node, "carol")["full"], 60, "it is told")
    node.s3("carol").delete_object(Bucket="carol", Key="large")
    eventually(lambda: put(node, "carol", 1000) == "", 120, "there is room")


def test_a_file_that_the_store_refuses_is_shown_and_kept_until_there_is_room(node: Node) -> None:
    root = full(node, "dave")
    eventually(lambda: put(node, "dave", 1000), 120, "the store refuses")
    node.client.post("/users/dave/clean-up")
    eventually(lambda: as_user(WRITE, root / "dave", "late.txt") == "", 60, "it may be written to")
    told = eventually(lambda: (s := node.state("dave"))["refused"] and s, 60, "it is shown")
    assert told["refused"] == [
        {
            "path": "cloud_storage/dave/late.txt",
            "reason": "Your quota in the object store is used up.",
        }
    ]
    assert told["level"] == "error"
    assert as_user("print(open('late.txt').read())", root / "dave") == "text"
    as_user(DELETE, root / "dave", "large")
    saved(node, "dave", "late.txt")
    eventually(lambda: node.state("dave")["level"] == "ok", 60, "all is well")


def test_a_full_bucket_takes_no_rescued_file_and_none_is_dropped(node: Node) -> None:
    """Of a file that was changed here and elsewhere, while its bucket was filled from outside."""
    root, write = with_quota(node, "frank"), "import sys; open('both', 'w').write(sys.argv[1])"
    as_user(write, root / "frank", "first")
    eventually(lambda: node.has_sent("frank", "both"), 60, "rclone knows that it is in the store")
    node.faults.switch("away")
    node.s3("frank").put_object(Bucket="frank", Key="both", Body=b"elsewhere")
    second = int(time.time())
    eventually(lambda: time.time() >= second + 2, 60, "objects have times in seconds")
    as_user(write, root / "frank", "here")
    assert put(node, "frank", 9 * MB, "large") == ""
    eventually(lambda: put(node, "frank", 1000), 120, "the store refuses")
    node.agent.stop(signal.SIGKILL)
    os.kill(node.rclone("frank"), signal.SIGKILL)
    node.faults.switch("pass")
    node.start_agent()
    node.in_state("frank", "READY", 60)
    told = eventually(
        lambda: (s := node.state("frank"))["pending"]["files"] == 2 and s["rescued"] and s,
        60,
        "both wait, and one is told to be rescued",
    )
    assert told["rescued"] == 1
    node.release("frank")
    node.in_state("frank", "DRAINING", 60)
    node.s3("frank").delete_object(Bucket="frank", Key="large")
    node.in_state("frank", "UNMOUNTED", 120)
    assert node.content("frank", "both") == b"here"
    (kept,) = [key for key in node.keys_in_s3("frank", "frank") if key.endswith("/frank/both")]
    assert node.content("frank", kept) == b"elsewhere"


def test_a_larger_quota_counts_when_the_hub_says_it(node: Node) -> None:
    root = full(node, "erin")
    node.hub.quotas["erin"] = 20 * MB
    node.release("erin")
    node.in_state("erin", "UNMOUNTED", 60)  # new keys are fetched after it, or just before
    node.ready("erin")
    eventually(lambda: quota(node, "erin").get("limit") == 20 * MB, 60, "the limit is known")
    eventually(lambda: as_user(WRITE, root / "erin", "x.txt") == "", 90, "there is room")
    saved(node, "erin", "x.txt")


def test_a_bucket_that_cannot_have_a_quota_keeps_no_other_from_its(node: Node) -> None:
    """Whoever may write to the store's filer has made one with a name that S3 refuses."""
    httpx.post(
        f"http://127.0.0.1:{node.config.ports.store_filer}/buckets/alice--a b/", timeout=60
    ).raise_for_status()
    node.s3("zoe").create_bucket(Bucket="zoe--data")

    def quotas() -> dict[str, int]:
        return {each.name: each.quota for each in seaweedfs_quota.buckets(node.config)}

    eventually(lambda: quotas()["zoe--data"], 120, "it has a quota")
    assert quotas()["alice--a b"] == 0


def test_of_another_store_a_listing_is_summed_up(tmp_path: Path) -> None:
    """It has no quota of ours; writes are refused early all the same."""
    with running_node(tmp_path, external=True) as node:
        root = full(node, "fred")
        eventually(lambda: quota(node, "fred")["used"] == 9 * MB, 60, "the sum is known")
        assert put(node, "fred", 1000) == ""
        node.client.post("/users/fred/clean-up")
        as_user(DELETE, root / "fred", "large")
        eventually(lambda: as_user(WRITE, root / "fred", "more.txt") == "", 90, "there is room")


ENFORCE = """
import sys
from pathlib import Path
from quaderno import config
from quaderno.storage import seaweedfs_quota, seaweedfs_shell
seaweedfs_shell.PATIENCE = 10.0
seaweedfs_quota.enforce(config.load_file(Path(sys.argv[1])))
"""


def shells(port: int) -> list[psutil.Process]:
    address = f"-master=127.0.0.1:{port}."
    found = [(each, each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    return [each for each, command in found if any(word.startswith(address) for word in command)]


def test_a_shell_of_the_store_outlives_nobody_for_long(tmp_path: Path) -> None:
    """It waits for a master that is away; who has started it may be killed meanwhile."""
    config, settings = new_config(tmp_path), tmp_path / "settings.yaml"
    settings.write_text(configuration.dump(config))
    with subprocess.Popen([sys.executable, "-c", ENFORCE, str(settings)]) as agent:
        eventually(lambda: shells(config.ports.store_master), 60, "it has begun")
        agent.kill()
    eventually(lambda: not shells(config.ports.store_master), 60, "it has ended")
