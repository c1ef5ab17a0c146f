"""Two nodes and one person: one of them writes at a time, and whatever happens, nothing is lost."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from quaderno.storage import leases
from quaderno.storage.lease_keeper import node_id
from tests.contract.lease_fixtures import (
    GET,
    PUT,
    SCRATCH,
    Pair,
    all_sent,
    given_back,
    lease,
    no_faults,
    of_a_lost_node,
    put_lease,
    rescued,
    said_to_be_dirty,
    two_nodes,
    waits,
)
from tests.contract.node_fixtures import WRITE, as_user
from tests.contract.storage_fixtures import eventually


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two nodes whose leases last as long as they do by default: no test sees one become stale."""
    with two_nodes(tmp_path_factory) as pair:
        yield pair


@pytest.fixture(autouse=True)
def _no_fault_is_left(calm: Pair) -> Iterator[None]:
    yield
    no_faults(calm)


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
