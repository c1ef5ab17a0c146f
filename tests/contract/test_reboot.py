"""A node that ends without notice, as by a power failure, and starts again with what its disk has.

The kernel of this machine goes on, so the test does to the files what an end of the machine does:
some are empty, cut off, or full of zeros. All that ran is killed at once, and nothing is mounted.
"""

import os
import signal
from collections.abc import Iterator

import pytest

from quaderno.storage import cache, description_disk, directories, mount_table, mounts
from quaderno.storage.lease_keeper import node_id
from tests.contract.node_fixtures import Node, as_user, running_node
from tests.contract.storage_fixtures import eventually

WRITE = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
STATE_FILES = ("servers.json", "token", "rclone.conf", "lease.json", "boot")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("r")) as node:
        yield node


def power_off(node: Node, user: str) -> mounts.MountPlan:
    """Store, agent and rclone at once; the disk of the descriptions is there again."""
    node.agent.stop(signal.SIGKILL)
    os.kill(node.rclone(user), signal.SIGKILL)
    node.store.stop(signal.SIGKILL)
    mount_table.unmount_all(node.config.mounts)
    plan = mounts.plan(node.config, user)
    plan.boot.write_text("another boot")
    return plan


def power_on(node: Node) -> None:
    assert description_disk.ensure(node.config)
    node.faults.switch("pass")
    node.store.start()
    node.start_agent()


def all_sent(node: Node, user: str) -> bool:
    return bool(node.state(user)["pending"]["files"] == 0)


def written(node: Node, user: str) -> dict[str, cache.CachedFile]:
    """Files of the person, of which one is in the store and all are changed while it is away."""
    root = node.ready(user)
    as_user(WRITE, root / user, "notes", "first")
    eventually(lambda: node.has_sent(user, "notes"), 60, "it is known")
    node.faults.switch("away")
    for name in ("notes", "whole", "other"):
        as_user(WRITE, root / user, name, f"last change of {name}")
    return {file.name: file for file in cache.files(mounts.plan(node.config, user))}


@pytest.mark.parametrize("left", [b"", b"\0" * 40])
def test_state_files_that_are_cut_off_lose_no_file(node: Node, left: bytes) -> None:
    """The server is not known any more, so everything is uploaded and unmounted."""
    user = f"alice-{len(left)}"
    written(node, user)
    plan, before = power_off(node, user), node_id(node.config)
    for name in STATE_FILES:
        (plan.state / name).write_bytes(left)
    (plan.state / "token.new").write_bytes(left)
    power_on(node)
    node.in_state(user, "UNMOUNTED", 60)
    for name in ("notes", "whole", "other"):
        assert node.content(user, name) == f"last change of {name}".encode()
    assert node_id(node.config) == before
    assert len(directories.load_token(plan)) >= 32
    root = node.ready(user)
    assert as_user("print(open('notes').read())", root / user) == "last change of notes"


def test_a_remainder_replaces_nothing_and_is_kept(node: Node) -> None:
    files = written(node, "bob")
    power_off(node, "bob")
    os.truncate(files["notes"].data, 0)  # ext4 with its delayed allocation leaves this
    files["other"].meta.write_bytes(b"")
    power_on(node)
    node.in_state("bob", "READY", 60)
    eventually(lambda: all_sent(node, "bob"), 60, "all is sent")
    assert node.content("bob", "notes") == b"first"
    assert node.content("bob", "whole") == b"last change of whole"
    assert node.content("bob", "other") == b"last change of other"
    (kept,) = [key for key in node.keys_in_s3("bob", "bob") if key.endswith("/bob/notes")]
    assert node.content("bob", kept) == b""
    root = node.config.mounts / "bob" / "bob"
    assert as_user("print(open('notes').read())", root) == "first"


def test_a_node_without_its_identity_gets_another(node: Node) -> None:
    """And is not taken for any other that has lost its own."""
    file = node.config.dir / "agent" / "node"
    for left in (b"", b"\0" * 32, b"\xff"):
        file.write_bytes(left)
        found = node_id(node.config)
        assert len(bytes.fromhex(found)) == 16
        assert node_id(node.config) == found
