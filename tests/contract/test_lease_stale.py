"""Leases that become stale, or are lost: who has the storage then, and what is kept."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from quaderno.storage import mounts
from tests.contract.lease_fixtures import (
    GET,
    LOST,
    PUT,
    Pair,
    all_sent,
    given_back,
    lease,
    no_faults,
    of_a_lost_node,
    put_lease,
    rescued,
    said_to_be_clean,
    said_to_be_dirty,
    two_nodes,
    waits,
)
from tests.contract.node_fixtures import WRITE, Node, as_user
from tests.contract.storage_fixtures import eventually

SOON = 30  # seconds until a lease is stale, where a test waits for that
LONG = 600  # the same, where it must not become so


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The leases of the first node are stale soon."""
    with two_nodes(tmp_path_factory, lease_time=SOON) as pair:
        yield pair


@pytest.fixture(autouse=True)
def _no_fault_is_left(hasty: Pair) -> Iterator[None]:
    yield
    no_faults(hasty)


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
    first.in_state("erin", "READY", 60)  # the agent may have been started just now
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
    put_lease(first, "fred", of_a_lost_node(lasts=LONG))
    first.use("fred")
    assert "in use on gone since" in waits(first, "fred")["message"]
    began = time.monotonic()
    put_lease(first, "fred", of_a_lost_node())
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
    left = {"files": 2, "bytes": 60}
    put_lease(first, "gina", of_a_lost_node(dirty=left, lasts=LONG))
    eventually(lambda: not waits(first, "gina")["lease"]["stale"], 60, "it was heard of again")
    assert first.client.post("/users/gina/take-over").status_code == 409
    put_lease(first, "gina", of_a_lost_node(dirty=left))
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
        with said_to_be_dirty(first, user):
            pass
    for user in people:
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
    with said_to_be_dirty(first, "judy"):
        pass
    eventually(lambda: first.has_sent("judy", "first.txt"), 60, "it is known")
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
