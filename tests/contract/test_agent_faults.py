"""What the mounts of a node survive: ended processes, a store, hub or mount that goes away."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from quaderno import stack
from quaderno.storage import mount_table, mounts
from tests.contract.node_fixtures import WRITE, Node, as_user, at_work, running_node
from tests.contract.storage_fixtures import eventually, limit


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("n")) as node:
        yield node


def test_rclone_killed(node: Node) -> None:
    root = node.ready("alice")
    assert as_user(WRITE, root / "alice", "unsent.txt") == ""
    first = node.rclone("alice")
    os.kill(first, signal.SIGKILL)

    def usable() -> bool:
        try:
            return node.rclone("alice") != first and (root / "alice" / "unsent.txt").exists()
        except OSError:
            return False

    eventually(usable, limit(3, 60), "the mounts are back")
    assert as_user(WRITE, root / "alice", "after.txt") == ""
    for name in ("unsent.txt", "after.txt"):
        eventually(lambda name=name: name in node.keys_in_s3("alice", "alice"), 60, name)  # type: ignore[misc]


def test_agent_killed(node: Node) -> None:
    root = node.ready("alice")
    first = node.rclone("alice")
    with (root / "alice" / "open.txt").open("w") as file:
        file.write("before ")
        file.flush()
        node.agent.stop(signal.SIGKILL)
        file.write("while ")
        file.flush()
        node.start_agent()
        assert node.in_state("alice", "READY", 60)["servers"] == [""]
        file.write("after")
    assert node.rclone("alice") == first
    assert (root / "alice" / "open.txt").read_text() == "before while after"


def test_rclone_killed_while_the_agent_was_away(node: Node) -> None:
    root = node.ready("alice")
    node.agent.stop(signal.SIGTERM)
    os.kill(node.rclone("alice"), signal.SIGKILL)
    node.start_agent()
    node.in_state("alice", "READY")
    assert as_user(WRITE, root / "alice", "again.txt") == ""


def kill_everything(node: Node) -> None:
    """The agent and the rclones of both, which leaves mounts that answer nothing."""
    node.agent.stop(signal.SIGKILL)
    for user in ("alice", "bob"):
        os.kill(node.rclone(user), signal.SIGKILL)
        eventually(lambda user=user: is_dead(node.config.mounts / user / user), 60, user)  # type: ignore[misc]


def is_dead(path: Path) -> bool:
    try:
        path.stat()
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def test_agent_and_rclone_killed_then_up(node: Node) -> None:
    roots = [node.ready(user) for user in ("alice", "bob")]
    assert as_user(WRITE, roots[0] / "alice", "before-up.txt") == ""
    kill_everything(node)
    mounts.plan(node.config, "bob").registrations.unlink()  # no server of theirs is left
    node.start_agent()
    node.in_state("alice", "READY")
    assert (roots[0] / "alice" / "before-up.txt").read_text() == "text"
    node.in_state("bob", "UNMOUNTED")
    assert mount_table.below(roots[1]) == []


def test_agent_and_rclone_killed_then_down(node: Node) -> None:
    roots, said = [node.ready(user) for user in ("alice", "bob")], list[str]()
    assert as_user(WRITE, roots[0] / "alice", "before-down.txt") == ""
    kill_everything(node)
    stack.down(node.config, said.append)
    assert any("no rclone serves any more: alice, bob" in line for line in said), said
    assert mount_table.below(node.config.dir) == []
    node.start_agent()
    for user in ("alice", "bob"):
        node.in_state(user, "READY")
    eventually(lambda: "before-down.txt" in node.keys_in_s3("alice", "alice"), 60, "it is in S3")
    node.release("bob")


def test_an_rclone_that_is_slow_to_answer_is_not_ended(node: Node) -> None:
    root = node.ready("alice")
    process = psutil.Process(node.rclone("alice"))
    script = "with open('kept', 'w') as f: print(f.write('1'), flush=True); input(); f.write('2')"
    with at_work(script, root / "alice", "1") as holder:
        node.agent.stop(signal.SIGTERM)
        process.suspend()
        try:
            node.start_agent()
            eventually(lambda: "slow" in node.state("alice")["reason"], 60, "it says why")
            assert node.state("alice")["state"] == "PREPARE"
        finally:
            process.resume()
        node.in_state("alice", "READY", 60)
        holder.communicate(b"go on\n", timeout=60)
    assert process.is_running()
    assert (root / "alice" / "kept").read_text() == "12"


def test_a_mount_that_somebody_took_away_is_made_again(node: Node) -> None:
    root = node.ready("alice")
    assert as_user(WRITE, root / "alice", "unsent-then-unmounted.txt") == ""
    first = node.rclone("alice")
    for area in ("alice", "scratch"):
        mount_table.unmount(root / area, lazy=True)
        eventually(lambda area=area: (root / area).is_mount(), 60, f"{area} is back")  # type: ignore[misc]
        node.in_state("alice", "READY", 60)
    assert node.rclone("alice") == first
    assert (root / "scratch" / "alice").is_mount()
    there = "unsent-then-unmounted.txt"
    assert (root / "alice" / there).read_text() == "text"
    eventually(lambda: there in node.keys_in_s3("alice", "alice"), 60, "it is in S3")


def test_the_hub_has_no_keys(node: Node) -> None:
    node.hub.failure = 403
    try:
        node.use("heidi")
        state = node.state("heidi", 60)
        assert state["state"] == "WAIT_KEYS"
        assert "log in again" in state["reason"]
        assert (node.config.mounts / "heidi" / mounts.NOTICE_FILE).exists()
        assert not psutil.pid_exists(node.rclone("heidi")), "nothing runs in vain"
        asked = node.hub.asked_at
        eventually(lambda: time.monotonic() - asked["heidi"] > 7, 60, "it is asked more rarely")
    finally:
        node.hub.failure = None
    node.ready("heidi", limit(5, 60))  # a login is noticed at once


def test_names_that_no_store_takes_are_told_and_stop_nothing_else(node: Node) -> None:
    """Bytes that are no text take five of a name's 255 in the store."""
    root, odd = node.ready("carol"), [b"\xff" * 60, b"\xfe" * 60, b"\xffshort"]
    as_user(f"for name in {odd!r}: open(name, 'w').write('odd')", root / "carol")
    told: list[dict[str, str]] = eventually(
        lambda: (
            len((s := node.state("carol"))["refused"]) == s["pending"]["files"] == 2
            and s["refused"]
        ),
        60,
        "both are named, and nothing else waits",
    )
    assert all("too long" in each["reason"] for each in told)
    state = node.state("carol")
    assert (state["level"], state["read_only"], state["pending"]["bytes"]) == ("error", False, 6)
    assert state["pending"]["files"] == 2
    assert as_user(WRITE, root / "carol", "another.txt") == ""
    as_user(f"import os; os.rename({odd[0]!r}, 'renamed')", root / "carol")
    taken = {"another.txt", "renamed", "\u201bFFshort"}
    eventually(lambda: taken <= node.keys_in_s3("carol", "carol"), 60, "all else is in S3")
    node.release("carol")
    node.in_state("carol", "UNMOUNTED", 60)
    text, file = sorted(key for key in node.keys_in_s3("carol", "carol") if "rescued" in key)
    assert node.content("carol", file) == b"odd"
    assert rb"carol/" + rb"\xfe" * 60 in node.content("carol", text)


def test_an_outage_of_the_hub_is_not_noticed(node: Node) -> None:
    root = node.ready("alice")
    node.hub.failure = 500
    try:
        first = node.rclone("alice")
        os.kill(first, signal.SIGKILL)
        eventually(lambda: node.rclone("alice") != first, 60, "another rclone")
        node.in_state("alice", "READY", 60)
        assert as_user(WRITE, root / "alice", "hub-away.txt") == ""
        eventually(lambda: "hub-away.txt" in node.keys_in_s3("alice", "alice"), 60, "in S3")
    finally:
        node.hub.failure = None


def test_store_down_at_the_start_then_back(node: Node) -> None:
    alice = node.ready("alice")
    as_user("open('cached.txt', 'w').write('1')", alice / "alice")
    eventually(lambda: "cached.txt" in node.keys_in_s3("alice", "alice"), 60, "in S3")
    node.store.stop(signal.SIGKILL)
    began = time.monotonic()
    node.use("ivan")
    state = node.state("ivan", 60)
    assert state["state"] in ("WAIT_S3", "WAIT_KEYS")
    assert state["reason"]
    soon = limit(8, 60)  # so that the server can start without
    assert time.monotonic() - began < soon
    root = node.config.mounts / "ivan"
    notice = root / mounts.NOTICE_FILE
    assert as_user("print(open('STORAGE_UNAVAILABLE.txt').read())", root) == mounts.NOTICE.strip()
    assert as_user(WRITE, root / "ivan", "lost.txt") == "EACCES"
    assert as_user(WRITE, root, "lost.txt") == "EACCES"
    # Who was mounted keeps working on what is cached, and loses nothing.
    assert as_user(WRITE, alice / "alice", "outage.txt") == ""
    node.release("alice")
    assert node.in_state("alice", "DRAINING", 60)["state"] == "DRAINING"
    eventually(lambda: "does not take" in node.state("alice")["reason"], 60, "uploads failed")
    left = node.state("alice")
    assert left["state"] == "DRAINING"
    assert left["pending"]["files"] >= 1
    assert mount_table.below(alice)
    node.store.start()
    node.in_state("ivan", "READY", 60)
    assert not notice.exists()
    assert as_user(WRITE, root / "ivan", "kept.txt") == ""
    eventually(lambda: node.has_sent("ivan", "kept.txt"), 60, "what Ivan wrote is in S3")
    node.in_state("alice", "UNMOUNTED", 60)
    assert "outage.txt" in node.keys_in_s3("alice", "alice")


def test_a_drain_that_waits_for_the_store_says_so_early(node: Node) -> None:
    """Last: who has nothing to upload is unmounted, the others are told with the reason."""
    node.ready("bob")
    alice = node.ready("alice")
    eventually(lambda: node.state("bob")["pending"]["files"] == 0, 60, "bob has nothing to upload")
    assert list((alice / "alice").iterdir())  # known from now on
    node.store.stop(signal.SIGKILL)
    as_user("for name in 'xyz': open(name, 'w').write(name)", alice / "alice")
    began = time.monotonic()
    answer: dict[str, Any] = node.client.post("/drain", json={"deadline": 165}).json()
    assert 30 <= time.monotonic() - began < 150
    assert not answer["drained"]
    assert answer["stalled"]
    assert [user["user"] for user in answer["pending"]] == ["alice"]
    assert answer["pending"][0]["pending"]["files"] >= 3
    assert "object store does not take them" in answer["pending"][0]["reason"]
    again = time.monotonic()
    assert node.client.post("/drain", json={"deadline": 165}).json()["stalled"]
    assert time.monotonic() - again < 25, "it is known"
    node.store.start()
    assert node.client.post("/drain", json={"deadline": 60}).json()["drained"] or node.in_state(
        "alice", "UNMOUNTED", 60
    )
    assert {"x", "y", "z"} <= node.keys_in_s3("alice", "alice")
