"""Two nodes and one person: one of them writes at a time, and whatever happens, nothing is lost."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from quaderno.storage import leases, mounts
from quaderno.storage.lease_keeper import node_id
from quaderno.storage.leases import Lease
from tests.contract.node_fixtures import WRITE, Node, as_user, running_node, second_node
from tests.contract.storage_fixtures import eventually

Pair = tuple[Node, Node]
SCRATCH = "scratch"  # the bucket
SOON = 30  # seconds until a lease is stale, where a test waits for that
LOST = 10  # the same of a node that is not there
PUT = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
GET = "import sys; print(open(sys.argv[1]).read(), end='')"


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes whose leases last as long as they do by default: no test sees one become stale."""
    with (
        running_node(tmp_path_factory.mktemp("a")) as first,
        second_node(first, tmp_path_factory.mktemp("b")) as second,
    ):
        yield first, second


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The leases of the first node are stale soon."""
    with (
        running_node(tmp_path_factory.mktemp("c"), lease_time=SOON) as first,
        second_node(first, tmp_path_factory.mktemp("d")) as second,
    ):
        yield first, second


@pytest.fixture(autouse=True)
def _no_fault_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for name in {"calm", "hasty"} & set(request.fixturenames):
        for node in request.getfixturevalue(name):
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
    """All is sent, and the lease says so: who looks at it later may take the storage by himself."""
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


def test_a_lease_is_held_while_mounted_and_given_back(calm: Pair) -> None:
    first, _ = calm
    first.ready("alice")
    held = lease(first, "alice")
    assert held is not None
    assert (held.node, held.name) == (node_id(first.config), first.config.node_name)
    assert abs(datetime.now(UTC) - held.renewed) < timedelta(minutes=1)
    assert (held.files, held.lasts) == (0, first.config.agent.lease_time)
    first.faults.switch("away")
    assert as_user(WRITE, first.config.mounts / "alice" / "alice", "wait.txt") == ""
    first.faults.switch("pass")
    first.release("alice")
    first.in_state("alice", "UNMOUNTED", 60)
    returned = eventually(lambda: given_back(first, "alice"), 60, "the lease is given back")
    assert returned.order == held.order
    assert "wait.txt" in first.keys_in_s3("alice", "alice")


def test_the_second_waits_until_the_first_has_sent_everything(calm: Pair) -> None:
    first, second = calm
    root = first.ready("bob")
    rclone = first.rclone("bob")
    assert as_user(PUT, root / "bob", "kept.txt", "of the first") == ""
    eventually(lambda: first.has_sent("bob", "kept.txt"), 60, "it is known")
    first.faults.switch("away")
    assert as_user(PUT, root / "bob", "late.txt", "of the outage") == ""
    second.use("bob")
    state = waits(second, "bob")
    assert f"in use on {first.config.node_name} since" in state["message"]
    assert state["level"] == "error"
    assert state["lease"]["node"] == first.config.node_name
    assert not state["lease"]["stale"]
    refused = second.client.post("/users/bob/take-over")
    assert refused.status_code == 409
    assert "Stop your server there" in refused.json()["message"]
    for node in (first, second):  # in the middle of all that
        node.agent.stop(signal.SIGKILL)
    for node in (second, first):
        node.start_agent()
    first.in_state("bob", "READY", 60)
    assert first.rclone("bob") == rclone
    waits(second, "bob")
    assert as_user(WRITE, second.config.mounts / "bob" / "bob", "lost.txt") == "EACCES"
    first.release("bob")
    eventually(lambda: "not uploaded" in first.state("bob")["reason"], 60, "it says why")
    assert not (second.config.mounts / "bob" / "bob").is_mount()
    first.faults.switch("pass")
    first.in_state("bob", "UNMOUNTED", 90)
    second.in_state("bob", "READY", 60)
    here = second.config.mounts / "bob" / "bob"
    assert as_user(GET, here, "kept.txt") == "of the first"
    assert as_user(GET, here, "late.txt") == "of the outage"
    held = lease(second, "bob")
    assert held is not None
    assert held.name == "second"
    assert rescued(second, "bob") == {}


@pytest.mark.parametrize(
    "nonsense", [b"", b"not JSON", b"[" * 4000, b'{"node": 1}', of_a_lost_node(dirty=7)]
)
def test_nonsense_in_place_of_a_lease_is_nobodys(calm: Pair, nonsense: bytes) -> None:
    first, _ = calm
    first.ready("carol")  # her bucket is there
    first.release("carol")
    first.in_state("carol", "UNMOUNTED", 60)
    put_lease(first, "carol", nonsense)
    first.ready("carol")
    held = lease(first, "carol")
    assert held is not None
    assert held.node == node_id(first.config)
    assert (
        "scratch/carol/.quaderno/lease.json is no lease"
        in (first.config.dir / "agent.log").read_text()
    )


@pytest.mark.parametrize("vandal", ["removed", "overwritten"])
def test_who_deletes_the_lease_of_a_node_that_renews_it_changes_nothing(
    calm: Pair, vandal: str
) -> None:
    first, _ = calm
    user = f"dave-{vandal}"
    first.ready(user)
    rclone = first.rclone(user)
    if vandal == "removed":
        first.s3(user).delete_object(Bucket=SCRATCH, Key=leases.key(user))
    else:
        put_lease(first, user, b"{}")
    with said_to_be_dirty(first, user):  # which is a reason to renew it now
        pass
    held = lease(first, user)
    assert held is not None
    assert held.node == node_id(first.config)
    assert first.state(user)["state"] == "READY"
    assert first.rclone(user) == rclone


def test_an_earlier_lease_that_comes_late_takes_nothing_away(calm: Pair) -> None:
    """As it may come from the other site, whose node was lost before all of its files were sent."""
    first, _ = calm
    first.ready("lena")
    rclone, ours = first.rclone("lena"), lease(first, "lena")
    assert ours is not None
    put_lease(first, "lena", of_a_lost_node())
    with said_to_be_dirty(first, "lena"):  # which is a reason to renew it now
        held = lease(first, "lena")
    assert held is not None
    assert held.order == ours.order
    assert first.state("lena")["state"] == "READY"
    assert first.rclone("lena") == rclone
    # Nor when the node looks for the first time.
    first.agent.stop(signal.SIGKILL)
    os.kill(rclone, signal.SIGKILL)
    put_lease(first, "lena", of_a_lost_node(dirty={"files": 327, "bytes": 9_000}))
    first.start_agent()
    first.in_state("lena", "READY", 60)
    first.release("lena")
    first.in_state("lena", "UNMOUNTED", 60)
    eventually(lambda: given_back(first, "lena"), 60, "the lease is given back")


def test_who_returns_waits_for_a_node_that_may_be_cut_off(calm: Pair) -> None:
    """It may live, and somebody may work there: that it is not heard of here says little."""
    first, _ = calm
    root = first.ready("mona")
    first.faults.switch("away")
    assert as_user(PUT, root / "mona", "file.txt", "of the first") == ""
    first.agent.stop(signal.SIGKILL)
    os.kill(first.rclone("mona"), signal.SIGKILL)
    first.faults.switch("pass")
    now = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    put_lease(first, "mona", of_a_lost_node(since=now))
    first.start_agent()
    eventually(lambda: waits(first, "mona", 30)["lease"]["stale"], 60, "it is stale")
    state = waits(first, "mona")
    assert state["pending"]["files"] == 1
    assert "connect your storage here" in state["message"]
    assert "file.txt" not in first.keys_in_s3("mona", "mona")
    put_lease(first, "mona", of_a_lost_node(since=now, lasts=0))
    first.in_state("mona", "READY", 60)
    eventually(lambda: all_sent(first, "mona"), 60, "all is sent")
    assert first.content("mona", "file.txt") == b"of the first"


def test_an_outage_never_stops_who_has_the_lease(hasty: Pair) -> None:
    """Longer than the lease is trusted, and with an end of the agent in the middle."""
    first, _ = hasty
    root = first.ready("erin")
    rclone = first.rclone("erin")
    assert as_user(WRITE, root / "erin", "0.txt") == ""
    eventually(lambda: first.has_sent("erin", "0.txt"), 60, "it is known")
    first.faults.switch("away")
    until, number = time.monotonic() + SOON * 2 / 3, 0
    while time.monotonic() < until:
        number += 1
        assert as_user(WRITE, root / "erin", f"{number}.txt") == ""
        if number == 20:
            first.agent.stop(signal.SIGKILL)
            first.start_agent()
    assert first.state("erin")["state"] == "READY"
    eventually(lambda: first.state("erin")["level"] == "warning", 60, "it is told")
    first.faults.switch("pass")
    eventually(lambda: all_sent(first, "erin"), 60, "all is sent")
    names = {f"{each}.txt" for each in range(number + 1)}
    assert names <= first.keys_in_s3("erin", "erin")
    assert first.rclone("erin") == rclone


def test_a_stale_and_clean_lease_is_taken(hasty: Pair) -> None:
    """By the store's clock: what the times in it say, does not matter."""
    first, _ = hasty
    first.ready("fred")
    first.release("fred")
    first.in_state("fred", "UNMOUNTED", 60)
    put_lease(first, "fred", of_a_lost_node())
    began = time.monotonic()
    first.use("fred")
    assert "in use on gone since" in waits(first, "fred")["message"]
    first.in_state("fred", "READY", 60)
    assert time.monotonic() - began > LOST / 2


def test_a_stale_and_dirty_one_only_when_the_person_says_so(hasty: Pair) -> None:
    first, _ = hasty
    first.ready("gina")
    first.release("gina")
    first.in_state("gina", "UNMOUNTED", 60)
    put_lease(first, "gina", of_a_lost_node(dirty={"files": 3, "bytes": 70}))
    first.use("gina")

    def stale() -> dict[str, Any] | None:
        found = waits(first, "gina")
        return found if found["lease"]["stale"] else None

    state = eventually(stale, 60, "it is stale")
    assert (state["lease"]["files"], state["lease"]["bytes"]) == (3, 70)
    assert "3 files wait there" in state["message"]
    assert "has not been heard of" in state["message"]
    renewed = of_a_lost_node(dirty={"files": 2, "bytes": 60}, lasts=2 * LOST)
    put_lease(first, "gina", renewed)
    eventually(lambda: not waits(first, "gina")["lease"]["stale"], 60, "it was heard of again")
    assert first.client.post("/users/gina/take-over").status_code == 409
    eventually(stale, 60, "it is stale again")
    assert first.client.post("/users/gina/take-over").status_code == 200
    first.in_state("gina", "READY", 60)
    assert first.client.post("/users/gina/take-over").status_code == 409


def test_where_both_changed_a_file_both_versions_are_kept(hasty: Pair) -> None:
    """Whether the second has taken the storage by itself (hugo's), or by his choice (iris's)."""
    first, second = hasty
    people = ("hugo", "iris")
    for user in people:
        root = first.ready(user)
        for name in ("both.txt", "mine.txt"):
            assert as_user(PUT, root / user, name, "old") == ""
        eventually(lambda u=user: first.has_sent(u, "both.txt", "mine.txt"), 60, "it is known")  # type: ignore[misc]
        eventually(lambda u=user: said_to_be_clean(first, u), 60, "all is sent")  # type: ignore[misc]
    with said_to_be_dirty(first, "iris"):
        first.faults.switch("away")
    for user in people:
        for name in ("both.txt", "mine.txt", "new.txt"):
            here = first.config.mounts / user / user
            assert as_user(PUT, here, name, f"{name} of the first") == ""
        second.use(user)
    eventually(lambda: waits(second, "iris")["lease"]["stale"], 4 * SOON, "it is stale")
    assert second.client.post("/users/iris/take-over").status_code == 200
    for user in people:
        second.in_state(user, "READY", 4 * SOON)
        for name in ("both.txt", "new.txt"):
            here = second.config.mounts / user / user
            assert as_user(PUT, here, name, f"{name} of the second") == ""
    for user in people:
        eventually(lambda u=user: _has(second, u, "of the second"), 60, "it is sent")  # type: ignore[misc]
    first.faults.switch("pass")
    for user in people:
        assert "in use on second since" in waits(first, user, 60)["message"]
        assert not (first.config.mounts / user / user).is_mount()
        assert first.state(user)["pending"]["files"] >= 3
        assert _has(second, user, "of the second")
        assert second.content(user, "mine.txt") == b"old"
        second.release(user)
    for user in people:
        first.in_state(user, "READY", 180)
        eventually(lambda u=user: all_sent(first, u), 60, "the rest is sent")  # type: ignore[misc]
        eventually(lambda u=user: len(rescued(first, u)) >= 2, 60, "it is rescued")  # type: ignore[misc]
        assert _has(first, user, "of the second")
        assert first.content(user, "mine.txt") == b"mine.txt of the first"
        for name in ("both.txt", "new.txt"):
            here = first.config.mounts / user / user
            assert as_user(GET, here, name) == f"{name} of the second"
            assert rescued(first, user)[f"{user}/{name}"] == f"{name} of the first"


def _has(node: Node, user: str, whose: str) -> bool:
    """Whether the store has these versions of the files that both nodes have written."""
    names = {"both.txt", "new.txt"} & node.keys_in_s3(user, user)
    found = {name: node.content(user, name).decode() for name in names}
    return found == {name: f"{name} {whose}" for name in ("both.txt", "new.txt")}


def test_a_node_that_was_killed_finds_what_changed_meanwhile(hasty: Pair) -> None:
    """Agent and rclone of the first are gone before the second takes the storage and returns it."""
    first, second = hasty
    root = first.ready("judy")
    assert as_user(WRITE, root / "judy", "first.txt") == ""
    eventually(lambda: said_to_be_clean(first, "judy"), 60, "all is sent")
    first.faults.switch("away")
    assert as_user(PUT, root / "judy", "both.txt", "of the first") == ""
    first.agent.stop(signal.SIGKILL)
    os.kill(first.rclone("judy"), signal.SIGKILL)
    held = lease(second, "judy")
    assert held is not None
    put_lease(second, "judy", replace(held, lasts=LOST).text().encode())
    there = second.ready("judy", 90)
    assert as_user(PUT, there / "judy", "both.txt", "of the second") == ""
    second.release("judy")
    second.in_state("judy", "UNMOUNTED", 60)
    eventually(lambda: given_back(second, "judy"), 60, "the lease is given back")
    first.faults.switch("pass")
    first.start_agent()
    first.in_state("judy", "READY", 60)
    eventually(lambda: rescued(first, "judy"), 60, "it is rescued")
    assert rescued(first, "judy") == {"judy/both.txt": "of the first"}
    assert first.content("judy", "both.txt") == b"of the second"
    assert not json.loads(mounts.plan(first.config, "judy").lease.read_text())["disputed"]


def test_what_is_unsent_moves_to_another_machine(hasty: Pair) -> None:
    """As the operator's guide says, of a machine that will not come back."""
    first, second = hasty
    root, lost = first.ready("kate"), mounts.plan(first.config, "kate")
    assert as_user(PUT, root / "kate", "file.txt", "old") == ""
    eventually(lambda: first.has_sent("kate", "file.txt"), 60, "it is known")
    first.faults.switch("away")
    assert as_user(PUT, root / "kate", "file.txt", "of the first") == ""
    first.agent.stop(signal.SIGKILL)
    os.kill(first.rclone("kate"), signal.SIGKILL)
    aside = lost.rescued / "then" / "kate" / "aside.txt"
    aside.parent.mkdir(parents=True)
    aside.write_text("kept aside")
    target = mounts.plan(second.config, "kate").state
    target.mkdir()
    for directory in (lost.cache, lost.rescued):
        copy = ("/usr/bin/cp", "--archive", "--dereference", "--sparse=always")  # as rsync would
        subprocess.run([*copy, directory, target], check=True)
    shutil.rmtree(lost.state)
    first.faults.switch("pass")
    first.start_agent()
    put_lease(second, "kate", of_a_lost_node(dirty={"files": 2, "bytes": 22}))
    second.use("kate")
    eventually(lambda: waits(second, "kate")["lease"]["stale"], 60, "it is stale")
    assert second.client.post("/users/kate/take-over").status_code == 200
    second.in_state("kate", "READY", 60)
    eventually(lambda: all_sent(second, "kate"), 60, "all is sent")
    assert second.content("kate", "file.txt") == b"of the first"
    assert rescued(second, "kate") == {"kate/aside.txt": "kept aside"}
