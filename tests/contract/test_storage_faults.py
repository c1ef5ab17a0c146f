"""Nothing that was acknowledged is lost: real faults between people's writes and the store.

By default the long ones run shorter: 8 kills instead of 100, an outage of 20 seconds instead of
5 minutes, a refusal of 20 seconds instead of 3 minutes; and what is to happen soon may take longer.
`make soak` runs them whole, with the times that are promised.
"""

import hashlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quaderno.storage import cache, leases, mount_table, mounts
from quaderno.storage.lease_keeper import node_id
from tests.contract.fault_proxy import Mode
from tests.contract.node_fixtures import WRITE, Node, as_user, at_work, running_node
from tests.contract.storage_fixtures import SOAK, eventually, limit

KILLS, OUTAGE, REFUSAL = (100, 300, 180) if SOAK else (8, 20, 20)
pytestmark = pytest.mark.timeout(KILLS * 20 + OUTAGE + REFUSAL + 600)

WRITER = """
import hashlib, os, random, sys, time
me, made = sys.argv[1], 0
chance = random.Random(me)
while True:
    name, data = f"{me}-{made}", chance.randbytes(chance.randrange(1, 200_000))
    try:
        with open(f"alice/{name}", "wb") as file:
            file.write(data)
    except OSError:
        time.sleep(0.02)  # the mounts are being made again
    else:
        print(name, hashlib.sha256(data).hexdigest(), flush=True)
        made += 1
        time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("f")) as node:
        yield node


@pytest.fixture(autouse=True)
def _no_fault_is_left(node: Node) -> Iterator[None]:
    yield
    node.faults.switch("pass")
    if not node.agent.is_running:
        node.start_agent()


def pending(node: Node, user: str) -> int:
    return int(node.state(user)["pending"]["files"])


def start_again(node: Node, user: str) -> None:
    """Nothing of the agent or rclone runs when this returns; the mounts are as they were left."""
    node.agent.stop(signal.SIGKILL)
    os.kill(node.rclone(user), signal.SIGKILL)


def written_in_outage(node: Node, user: str, names: list[str]) -> dict[str, Path]:
    """Descriptions of changed files whose rclone is dead, and whose agent is not there."""
    root, plan = node.ready(user), mounts.plan(node.config, user)
    assert list((root / user).iterdir()) is not None  # known from now on
    eventually(lambda: pending(node, user) == 0, 60, "what was written before is sent")
    node.faults.switch("away")
    as_user(f"for name in {names!r}: open(name, 'w').write('text of ' + name)", root / user)
    # rclone writes the description once more when it is told of a file's closing.
    eventually(lambda: pending(node, user) == len(names), 60, "all are closed")
    start_again(node, user)
    metas = cache.description_root(plan, plan.areas[0])
    return {name: metas / name for name in names}


def _writer(root: Path, name: str, log: Path) -> subprocess.Popen[bytes]:
    """Writes as the person: root could write into the directory below a mount that is gone."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, name],
            cwd=root,
            user=mounts.UID,
            group=mounts.GID,
            extra_groups=[],
            stdout=output,
        )


def test_nothing_acknowledged_is_lost_when_rclone_is_killed(node: Node, tmp_path: Path) -> None:
    root = node.ready("alice")
    logs = [tmp_path / str(number) for number in range(3)]
    writers = [_writer(root, f"w{number}", log) for number, log in enumerate(logs)]

    def written() -> int:
        return sum(log.stat().st_size for log in logs)

    try:
        for _ in range(KILLS):
            first = node.rclone("alice")
            enough = written() + 500
            eventually(lambda e=enough: written() > e, 60, "files are written")  # type: ignore[misc]
            time.sleep(random.uniform(0, 0.5))  # noqa: S311 - any moment of rclone's work
            os.kill(first, signal.SIGKILL)
            eventually(lambda f=first: node.rclone("alice") != f, 60, "another rclone")  # type: ignore[misc]
            node.in_state("alice", "READY", 60)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    acknowledged = dict(line.split() for log in logs for line in log.read_text().splitlines())
    assert len(acknowledged) > KILLS
    eventually(lambda: pending(node, "alice") == 0, 120, "all is uploaded")
    node.release("alice")
    node.in_state("alice", "UNMOUNTED", 60)
    store = node.s3("alice")
    stored = {
        name: hashlib.sha256(store.get_object(Bucket="alice", Key=name)["Body"].read()).hexdigest()
        for name in acknowledged
    }
    assert stored == acknowledged


@pytest.mark.parametrize("damage", ["emptied", "cut", "removed"])
def test_damaged_descriptions_lose_no_file(node: Node, damage: str) -> None:
    names = [f"{damage}-{number}" for number in range(20)]
    for meta in written_in_outage(node, "bob", names).values():
        if damage == "removed":
            meta.unlink()
        else:
            meta.write_text(meta.read_text()[: 30 if damage == "cut" else 0])
    node.faults.switch("pass")
    node.start_agent()
    node.in_state("bob", "READY")
    eventually(lambda: set(names) <= node.keys_in_s3("bob", "bob"), 60, "20 of 20 are uploaded")
    assert all(node.content("bob", name) == f"text of {name}".encode() for name in names)


def test_a_partly_cached_change_is_completed_and_never_uploaded_as_zeros(node: Node) -> None:
    root, plan = node.ready("carol"), mounts.plan(node.config, "carol")
    old = os.urandom(64 << 20)
    node.s3("carol").put_object(Bucket="carol", Key="big", Body=old)
    node.refresh("carol")
    assert "big" in os.listdir(root / "carol")  # noqa: PTH208 - rclone has keys from now on
    changes = ((10_000_000, b"x" * 5000), (40_960_000, b"y" * 4096), (20_480_000, b"z" * 4096))
    script = f"""
import os
file = os.open("big", os.O_RDWR)
for number, (start, text) in enumerate({changes!r}):
    os.pwrite(file, text, start)
    if number == 1:
        os.fsync(file)  # the description names what is written until now, and not the third
print("written", flush=True)
input()
"""
    node.agent.stop(signal.SIGKILL)
    with at_work(script, root / "carol", "written") as writer:
        os.kill(node.rclone("carol"), signal.SIGKILL)
        writer.communicate(b"\n", timeout=60)
    faults: tuple[Mode, ...] = ("away", "deny")
    for fault in faults:
        node.faults.switch(fault)
        node.start_agent()
        eventually(lambda: node.state("carol")["state"] == "WAIT_S3", 60, "it waits")
        assert not (root / "carol").is_mount()
        assert node.state("carol")["pending"]["files"] == 1
        node.agent.stop(signal.SIGKILL)
    node.faults.switch("pass")
    node.start_agent()
    node.in_state("carol", "READY", 60)
    new = bytearray(old)
    for start, text in changes:
        new[start : start + len(text)] = text
    eventually(lambda: pending(node, "carol") == 0, 60, "it is uploaded")
    eventually(lambda: node.content("carol", "big") == new, 60, "every byte is there")
    assert not list(plan.rescued.rglob("*.new"))


def test_a_change_that_rclone_forgets_at_close_is_uploaded(node: Node) -> None:
    """Its missing parts cannot be fetched while the store is away, and nothing is queued."""
    root = node.ready("dave")
    old = os.urandom(48 << 20)
    node.s3("dave").put_object(Bucket="dave", Key="big", Body=old)
    node.refresh("dave")
    script = """
import os
file = os.open("big", os.O_RDWR)
os.pwrite(file, b"n" * 4096, 40_960_000)
print("written", flush=True)
input()
try:
    os.close(file)
except OSError:
    pass
"""
    with at_work(script, root / "dave", "written") as writer:
        node.faults.switch("away")
        writer.communicate(b"\n", timeout=120)
    eventually(lambda: pending(node, "dave") == 1, limit(40, 120), "it is flagged")
    node.faults.switch("pass")
    new = old[:40_960_000] + b"n" * 4096 + old[40_964_096:]
    eventually(lambda: node.content("dave", "big") == new, 60, "it is in S3")
    eventually(lambda: pending(node, "dave") == 0, 60, "nothing is left")
    seen = as_user(
        "import hashlib; print(hashlib.sha256(open('big', 'rb').read()).hexdigest())", root / "dave"
    )
    assert seen == hashlib.sha256(new).hexdigest(), "the mount shows it, too"


def test_saving_goes_on_while_the_store_is_away(
    node: Node, record_property: Callable[[str, object], None]
) -> None:
    root = node.ready("erin")
    assert as_user(WRITE, root / "erin", "first.txt") == ""
    eventually(lambda: node.has_sent("erin", "first.txt"), 60, "it is known")
    node.faults.switch("away")
    until, seconds = time.monotonic() + OUTAGE, []
    for number in range(50):
        time.sleep(max(0, (until - time.monotonic()) / (50 - number)))
        began = time.monotonic()
        assert as_user(WRITE, root / "erin", f"save-{number}.txt") == ""
        seconds.append(time.monotonic() - began)
    record_property("median_seconds_of_a_save", statistics.median(seconds))
    assert statistics.median(seconds) <= limit(1, 30)
    assert max(seconds) <= limit(5, 30)
    state: dict[str, Any] = eventually(
        lambda: (
            (s := node.state("erin"))["level"] == "warning" and s["pending"]["files"] == 50 and s
        ),
        60,
        "told of all",
    )
    assert state["state"] == "READY"
    assert state["pending"]["bytes"] == 200
    assert state["pending"]["oldest"] >= OUTAGE / 2
    assert "does not take them" in state["message"]
    node.faults.switch("pass")
    eventually(lambda: pending(node, "erin") == 0, limit(45, 120), "all is uploaded")
    assert {f"save-{number}.txt" for number in range(50)} <= node.keys_in_s3("erin", "erin")
    assert node.state("erin")["level"] == "ok"


def test_what_the_store_refuses_is_shown_and_kept(node: Node) -> None:
    root = node.ready("fred")
    assert as_user(WRITE, root / "fred", "first.txt") == ""
    eventually(lambda: node.has_sent("fred", "first.txt"), 60, "it is known")
    node.faults.switch("deny")
    began = time.monotonic()
    assert as_user(WRITE, root / "fred", "refused.txt") == ""
    told: dict[str, Any] = eventually(
        lambda: (s := node.state("fred"))["refused"] and s, limit(15, 60), "it is shown"
    )
    assert told["refused"][0]["path"] == "cloud_storage/fred/refused.txt"
    assert "AccessDenied" in told["refused"][0]["reason"]
    assert told["level"] == "error"
    assert told["read_only"]
    eventually(lambda: as_user(WRITE, root / "fred", "more.txt") == "EROFS", 60, "read-only")
    assert as_user("print(open('refused.txt').read())", root / "fred") == "text"
    eventually(lambda: time.monotonic() - began > REFUSAL, REFUSAL + 5, "it lasts")
    node.faults.switch("pass")
    eventually(lambda: "refused.txt" in node.keys_in_s3("fred", "fred"), limit(5, 60), "it is sent")
    eventually(lambda: node.state("fred")["level"] == "ok", 60, "all is well")
    assert as_user(WRITE, root / "fred", "more.txt") == ""


def test_a_stop_uploads_first_and_never_unmounts_what_is_not(
    node: Node, record_property: Callable[[str, object], None]
) -> None:
    root = node.ready("gina")
    as_user("for i in range(200): open(f'{i}.txt', 'w').write(str(i))", root / "gina")
    store = node.s3("gina")
    node.release("gina")
    began = time.monotonic()
    eventually(
        lambda: store.list_objects_v2(Bucket="gina")["KeyCount"] == 200, limit(5, 60), "all in S3"
    )
    record_property("seconds_of_200_files", time.monotonic() - began)
    node.in_state("gina", "UNMOUNTED", 60)
    node.ready("gina")
    assert len(list((root / "gina").glob("*.txt"))) == 200
    node.faults.switch("away")
    as_user("for i in range(5): open(f'new-{i}', 'w').write(str(i))", root / "gina")
    node.release("gina")
    eventually(lambda: "does not take" in node.state("gina")["reason"], 60, "it says why")
    assert mount_table.below(root)
    eventually(lambda: pending(node, "gina") == 5, 60, "all five wait")
    lease = node.s3("gina").get_object(Bucket="scratch", Key=leases.key("gina"))["Body"].read()
    assert json.loads(lease)["node"] == node_id(node.config)
    node.faults.switch("pass")
    node.in_state("gina", "UNMOUNTED", 60)
    assert len(node.keys_in_s3("gina", "gina")) == 205


def test_an_older_copy_never_replaces_a_newer_object(node: Node) -> None:
    """Without its description nobody knows what a file was: the newer one stays, both are kept."""
    meta = written_in_outage(node, "hugo", ["both"])["both"]
    meta.unlink()
    node.faults.switch("pass")
    time.sleep(2.1)  # what clocks may differ by
    node.s3("hugo").put_object(Bucket="hugo", Key="both", Body=b"from elsewhere")
    node.start_agent()
    node.in_state("hugo", "READY")

    def kept() -> list[str]:
        return [key for key in node.keys_in_s3("hugo", "hugo") if "rescued" in key]

    (key,) = eventually(kept, 60, "it is rescued")
    assert key.startswith(".quaderno/rescued/")
    assert key.endswith("/hugo/both")
    assert node.content("hugo", key) == b"text of both"
    assert node.content("hugo", "both") == b"from elsewhere"
    eventually(lambda: node.state("hugo")["rescued"] == 1, 60, "it is told")
    root = node.config.mounts / "hugo"
    as_user("import os, sys; os.rename(sys.argv[1], 'taken back')", root / "hugo", key)
    eventually(lambda: "taken back" in node.keys_in_s3("hugo", "hugo"), 60, "it is taken back")
    assert node.content("hugo", "taken back") == b"text of both"
    assert kept() == []


@pytest.mark.parametrize("last", ["here", "elsewhere"])
def test_of_two_changes_the_later_has_the_name_and_both_are_kept(node: Node, last: str) -> None:
    """The one here is whole: rclone would upload it over the other without a word."""
    user = f"by-{last}"
    root = node.ready(user)
    script = "import sys; open('both', 'w').write(sys.argv[1])"
    as_user(script, root / user, "first")
    eventually(lambda: node.has_sent(user, "both"), 60, "it is known")
    node.faults.switch("away")
    for where in ("elsewhere", "here") if last == "here" else ("here", "elsewhere"):
        if where == "here":
            as_user(script, root / user, where)
        else:
            node.s3(user).put_object(Bucket=user, Key="both", Body=where.encode())
        second = int(time.time())
        eventually(lambda s=second: time.time() >= s + 2, 60, "objects have times in seconds")  # type: ignore[misc]
    start_again(node, user)
    node.faults.switch("pass")
    node.start_agent()
    node.in_state(user, "READY", 60)
    eventually(lambda: pending(node, user) == 0, 60, "all is sent")

    def kept() -> list[bytes]:
        keys = [key for key in node.keys_in_s3(user, user) if key.endswith(f"/{user}/both")]
        return [node.content(user, key) for key in keys]

    eventually(kept, 60, "the other is rescued")
    assert node.content(user, "both") == last.encode()
    assert kept() == [b"elsewhere" if last == "here" else b"here"]
    eventually(lambda: node.state(user)["rescued"] == 1, 90, "it is told")


def test_a_description_is_whole_after_the_repair(node: Node) -> None:
    names = ["one"]
    (meta,) = written_in_outage(node, "iris", names).values()
    fields = json.loads(meta.read_text()) | {"Rs": None, "Size": 0}
    meta.write_text(json.dumps(fields))
    node.faults.switch("pass")
    node.start_agent()
    node.in_state("iris", "READY")
    eventually(lambda: "one" in node.keys_in_s3("iris", "iris"), 60, "it is uploaded")
    assert node.content("iris", "one") == b"text of one"
