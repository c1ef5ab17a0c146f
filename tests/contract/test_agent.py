"""The node agent with real mounts: what people see in `cloud_storage`, and what survives what."""

import asyncio
import errno
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest

from quaderno import names
from quaderno.errors import StorageError
from quaderno.storage import mount_table, mounts, uploads
from quaderno.storage.rclone import Rclone
from tests.contract.node_fixtures import WRITE, Node, as_user, running_node
from tests.contract.storage_fixtures import eventually, limit


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("n")) as node:
        yield node


def test_from_ensure_to_ready(node: Node, record_property: Callable[[str, object], None]) -> None:
    began = time.monotonic()
    answer = node.use("alice")
    assert answer["cloud_storage"] == str(node.config.mounts / "alice")
    assert answer["local"] == str(node.config.local / "alice")
    assert node.state("alice", 60)["state"] == "READY"
    record_property("ensure_to_ready_seconds", time.monotonic() - began)
    root = node.config.mounts / "alice"
    assert {path.name for path in root.iterdir()} == {"alice", "scratch"}
    assert (root / "scratch" / "alice").is_dir()


@pytest.mark.parametrize("user", ["alice", names.from_claim("Ada.L@example.org")])
def test_a_file_is_an_object_and_an_object_a_file(node: Node, user: str) -> None:
    root = node.ready(user)
    assert as_user(WRITE, root / user, "notes.txt") == ""
    eventually(lambda: "notes.txt" in node.keys_in_s3(user, user), 60, "the file is in S3")
    assert as_user(WRITE, root / "scratch" / user, "shared.txt") == ""
    eventually(lambda: f"{user}/shared.txt" in node.keys_in_s3(user, "scratch"), 60, "in scratch")
    body = node.s3(user).get_object(Bucket=user, Key="notes.txt")["Body"].read()
    assert body == b"text"
    node.s3(user).put_object(Bucket=user, Key="from/s3.txt", Body=b"by S3")
    node.refresh(user)
    assert as_user("print(open('from/s3.txt').read())", root / user) == "by S3"


def test_a_file_keeps_its_time_and_checksum_in_the_store(node: Node) -> None:
    """Editors say that a file changed on disk when its time does, by less than a second even."""
    root, data = node.ready("alice") / "alice", os.urandom(9 << 20)
    (root / "timed.bin").write_bytes(data)
    os.utime(root / "timed.bin", ns=(0, 1_600_000_000_123_456_789))
    eventually(lambda: "timed.bin" in node.keys_in_s3("alice", "alice"), 60, "the file is in S3")
    eventually(lambda: node.state("alice")["pending"]["files"] == 0, 60, "it is uploaded")
    assert (root / "timed.bin").stat().st_mtime_ns == 1_600_000_000_123_456_789
    node.refresh("alice")
    assert (root / "timed.bin").stat().st_mtime_ns == 1_600_000_000_123_456_789
    assert (root / "timed.bin").read_bytes() == data
    head = node.s3("alice").head_object(Bucket="alice", Key="timed.bin")
    assert head["ETag"].strip('"') == hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_ownership_and_modes(node: Node) -> None:
    root = node.ready("alice")
    for path in (root / "alice", root / "scratch" / "alice"):
        status = path.stat()
        assert (status.st_uid, status.st_gid) == (mounts.UID, mounts.GID)
        assert status.st_mode & 0o077 == 0
    local = (node.config.local / "alice").stat()
    assert (local.st_uid, local.st_gid, local.st_mode & 0o777) == (mounts.UID, mounts.GID, 0o700)
    assert as_user(WRITE, root, "beside.txt") == "EACCES"


def test_other_peoples_scratch_is_read_only(node: Node) -> None:
    bob, alice = node.ready("bob"), node.ready("alice")
    assert as_user(WRITE, bob / "scratch" / "bob", "of-bob.txt") == ""
    eventually(lambda: "bob/of-bob.txt" in node.keys_in_s3("bob", "scratch"), 60, "in S3")
    seen = alice / "scratch" / "bob" / "of-bob.txt"
    node.refresh("alice")
    eventually(seen.exists, 60, "alice sees it")
    began = time.monotonic()
    for target in ("bob/mine.txt", "bob/of-bob.txt", "mine.txt"):
        assert as_user(WRITE, alice / "scratch", target) == "EROFS"
    assert time.monotonic() - began < limit(2, 60)
    with pytest.raises(OSError, match="Read-only") as refused:
        seen.unlink()
    assert refused.value.errno == errno.EROFS
    assert as_user("print(open('bob/of-bob.txt').read())", alice / "scratch") == "text"


def test_ones_own_area_stays_mounted_whatever_others_do(node: Node) -> None:
    """It is mounted inside the mount of all of scratch, which must never forget the directory.

    A listing that expires like others would be gone after half a minute without a look.
    """
    root = node.ready("alice")
    assert as_user(WRITE, root / "scratch" / "alice", "first.txt") == ""
    before = _mount_numbers(root)
    assert len(before) == 3
    node.s3("erin").put_object(Bucket="scratch", Key="erin/1.txt", Body=b"1")
    until = time.monotonic() + 35
    while time.monotonic() < until:
        assert _mount_numbers(root) == before
        time.sleep(1)
    look = "import os; print(sorted(os.listdir('erin')) if os.path.isdir('erin') else [])"
    eventually(lambda: as_user(look, root / "scratch") == "['1.txt']", 60, "erin's file shows")
    node.s3("erin").put_object(Bucket="scratch", Key="erin/2.txt", Body=b"2")
    eventually(
        lambda: as_user(look, root / "scratch") == "['1.txt', '2.txt']", 60, "others' files show"
    )
    assert as_user(WRITE, root / "scratch" / "alice", "last.txt") == ""
    assert _mount_numbers(root) == before


def _mount_numbers(root: Path) -> list[str]:
    """The kernel's numbers of the mounts below `root` (proc(5), mountinfo), new at each mount."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[0] for line in lines if line.split()[4].startswith(f"{root}/")]


def test_two_people_at_once_see_their_own(node: Node) -> None:
    node.use("carol")
    node.use("dave")
    roots = {name: node.ready(name) for name in ("carol", "dave")}
    for name, root in roots.items():
        assert as_user(WRITE, root / name, f"{name}.txt") == ""
    for name in roots:
        eventually(
            lambda name=name: node.keys_in_s3(name, name) == {f"{name}.txt"},  # type: ignore[misc]
            60,
            f"the bucket of {name} has their file only",
        )


def test_no_secret_in_any_environment_or_argument(node: Node) -> None:
    node.ready("alice")
    token = mounts.plan(node.config, "alice").token
    assert token.stat().st_mode & 0o777 == 0o600
    secrets = {token.read_text(), node.config.agent.hub_token.get_secret_value()}
    for pid in (node.rclone("alice"), node.agent.process.pid):
        process = psutil.Process(pid)
        shown = " ".join(process.cmdline()) + json.dumps(process.environ())
        assert not [secret for secret in secrets if secret in shown]
        assert "AWS_SECRET_ACCESS_KEY" not in shown


def test_keys_are_served_to_their_owner_only(node: Node) -> None:
    node.ready("alice")
    node.ready("bob")
    alice, bob = (mounts.plan(node.config, name).token.read_text() for name in ("alice", "bob"))
    url = mounts.keys_url(node.config, "alice")
    with httpx.Client(timeout=60) as client:
        assert "AccessKeyId" in client.get(url, headers={"Authorization": alice}).json()
        for token in (bob, "", "Bearer " + alice, alice[:-1]):
            assert client.get(url, headers={"Authorization": token}).status_code == 403
        unknown = mounts.keys_url(node.config, "nobody")
        assert client.get(unknown, headers={"Authorization": alice}).status_code == 403
        assert client.get(url.replace("/users/alice/keys", "/users")).status_code == 404


def test_only_root_and_the_hub_reach_the_api(node: Node) -> None:
    path = node.config.agent_socket
    assert path.stat().st_mode & 0o777 == 0o660
    assert path.parent.stat().st_mode & 0o777 == 0o750
    refused = as_user(
        "import socket\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "try:\n    s.connect('agent.sock')\nexcept OSError as error:\n    print(error.strerror)",
        path.parent,
    )
    assert refused == "Permission denied"
    path.parent.chmod(0o755)
    path.chmod(0o666)  # even then the kernel says who connects
    try:
        answer = as_user(
            "import socket\n"
            "s = socket.socket(socket.AF_UNIX)\ns.connect('agent.sock')\n"
            "try:\n    s.sendall(b'GET /users HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n')\n"
            "    print(s.recv(100))\nexcept OSError:\n    print(b'')",
            path.parent,
        )
    finally:
        path.chmod(0o660)
        path.parent.chmod(0o750)
    assert answer == "b''"


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "..%2f..%2fetc", "Alice", "scratch", "a", "a b", "é", "-x", "x" * 41]
)
def test_hostile_names_are_refused(node: Node, name: str) -> None:
    for method, path in (("PUT", "/servers/-"), ("DELETE", "/servers/-"), ("GET", "")):
        answer = node.client.request(method, f"http://agent/users/{name}{path}")
        assert 400 <= answer.status_code < 500
    assert not {path.name for path in node.config.mounts.iterdir()} & {name, "etc", "Alice"}


def test_nonsense_is_answered_in_words(node: Node) -> None:
    assert node.client.get("/users/alice?wait=long").status_code == 400
    assert node.client.post("/drain", content=b"x").status_code == 400
    answer = node.client.put("/users/alice/servers/" + "x" * 256)
    assert answer.status_code == 400
    assert "255" in answer.json()["message"]


def test_a_link_in_place_of_local_is_not_followed(node: Node, tmp_path: Path) -> None:
    node.config.local.joinpath("eve").symlink_to(tmp_path)
    before = tmp_path.stat()
    assert node.client.put("/users/eve/servers/-").status_code == 507
    assert tmp_path.stat().st_uid == before.st_uid


def test_an_engine_finds_what_it_binds(node: Node) -> None:
    """Made before the answer: an engine makes what it does not find, owned by root."""
    in_the_way = node.config.mounts / "kim"
    in_the_way.write_text("")
    assert node.client.put("/users/kim/servers/-").status_code == 507
    in_the_way.unlink()
    node.use("kim")
    assert in_the_way.stat().st_mode & 0o7777 == 0o555
    node.release("kim")


def test_pending_is_told_while_the_mounts_are_ready(node: Node) -> None:
    root = node.ready("alice")
    eventually(lambda: node.state("alice")["pending"]["files"] == 0, 60, "all is uploaded")
    node.faults.switch("away")
    try:
        as_user("for i in range(3): open(f'p{i}', 'w').write('x')", root / "alice")
        eventually(lambda: node.state("alice")["pending"]["files"] == 3, 60, "all three are told")
        listed = {
            user["user"]: user["pending"]["files"]
            for user in node.client.get("/users").json()["users"]
        }
        assert listed["alice"] == 3
    finally:
        node.faults.switch("pass")
    eventually(lambda: node.state("alice")["pending"]["files"] == 0, 60, "all is uploaded")
    assert node.state("alice")["state"] == "READY"


def test_one_question_to_rclone_is_answered_whole_or_not_at_all(node: Node) -> None:
    """Of an area that is not mounted nothing is known, which is not that nothing waits."""
    node.ready("carol")
    plan = mounts.plan(node.config, "carol")
    unknown = replace(plan, areas=(plan.home, replace(plan.areas[-1], prefix="elsewhere")))

    async def looks() -> None:
        rclone = Rclone.find(plan)
        assert rclone is not None
        try:
            waiting, _ = await uploads.look(rclone, plan)
            assert waiting == []
            with pytest.raises(StorageError, match="vfs/queue: no VFS found"):
                await uploads.look(rclone, unknown)
        finally:
            await rclone.kill()

    asyncio.run(looks())


def test_release_uploads_then_unmounts(node: Node) -> None:
    root = node.ready("frank")
    node.use("frank", "second")
    pid = node.rclone("frank")
    node.release("frank", "second")
    assert node.state("frank")["state"] == "READY", "the default server still uses it"
    as_user("for i in range(50): open(f'{i}.txt', 'w').write(str(i))", root / "frank")
    node.release("frank")
    node.release("frank")
    node.in_state("frank", "UNMOUNTED")
    assert node.keys_in_s3("frank", "frank") == {f"{i}.txt" for i in range(50)}
    assert not mount_table.below(root)
    assert not psutil.pid_exists(pid)
    assert as_user(WRITE, root / "frank", "lost.txt") == "EACCES"
    assert "frank" not in {user["user"] for user in node.client.get("/users").json()["users"]}
    root = node.ready("frank")
    assert (root / "frank" / "7.txt").read_text() == "7"


def test_wanted_again_while_it_drains(node: Node) -> None:
    root = node.ready("grace")
    pid = node.rclone("grace")
    node.faults.switch("away")  # it drains until the store is back
    try:
        assert as_user(WRITE, root / "grace", "unsent.txt") == ""
        node.release("grace")
        node.in_state("grace", "DRAINING", 60)
        node.ready("grace")
    finally:
        node.faults.switch("pass")
    assert node.rclone("grace") == pid
    eventually(lambda: node.has_sent("grace", "unsent.txt"), 60, "it is uploaded")


def test_a_mount_appears_in_a_running_container(node: Node) -> None:
    """As Docker binds it: a slave of the shared parent, in a mount namespace of its own."""
    node.use("judy")
    root = node.config.mounts / "judy"
    node.in_state("judy", "READY")
    node.release("judy")
    node.in_state("judy", "UNMOUNTED")
    script = (
        'mount --rbind "$1" /mnt && mount --make-rslave /mnt && echo bound || exit 1; '
        "while read line; do ls /mnt /mnt/scratch/judy; echo end; done"
    )
    container = subprocess.Popen(
        [
            "/usr/bin/unshare",
            "--mount",
            "--propagation",
            "slave",
            "sh",
            "-c",
            script,
            "sh",
            str(root),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert container.stdin is not None
    assert container.stdout is not None
    assert container.stdout.readline() == "bound\n"

    def listed() -> list[str]:
        container.stdin.write("list\n")  # type: ignore[union-attr]
        container.stdin.flush()  # type: ignore[union-attr]
        return list(iter(container.stdout.readline, "end\n"))  # type: ignore[union-attr]

    node.ready("judy")
    first = node.rclone("judy")
    assert as_user(WRITE, root / "scratch" / "judy", "seen.txt") == ""
    seen = ["/mnt:\n", "judy\n", "scratch\n", "\n", "/mnt/scratch/judy:\n", "seen.txt\n"]
    assert listed() == seen
    os.kill(first, signal.SIGKILL)
    eventually(lambda: node.rclone("judy") != first, 60, "another rclone")
    node.in_state("judy", "READY", 60)
    assert listed() == seen
    container.communicate(timeout=60)


def test_drain_of_the_node(node: Node) -> None:
    """Last: everything is unmounted, and comes back with the next agent."""
    root = node.ready("alice")
    as_user("for i in range(20): open(f'd{i}', 'w').write('x')", root / "alice")
    answer = node.client.post("/drain", json={"deadline": 150}).json()
    assert answer == {"drained": True, "stalled": False, "pending": []}
    assert [mount.path for mount in mount_table.below(node.config.mounts)] == [node.config.mounts]
    assert {f"d{i}" for i in range(20)} <= node.keys_in_s3("alice", "alice")
    node.agent.stop(signal.SIGTERM)
    node.start_agent()
    node.in_state("alice", "READY")
