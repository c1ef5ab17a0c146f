"""A disk that another program has filled: what is not uploaded stays, what cannot be is refused."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quaderno.storage import mounts
from tests.contract.node_fixtures import WRITE, Node, as_user, running_node
from tests.contract.storage_fixtures import eventually

SIZE = 300 << 20  # bytes of the disk that is filled
FILES, SECONDS = 40, 20

REOPEN = """
import json, os, sys, time
names = [f"file-{number}" for number in range(int(sys.argv[1]))]
parts = {name: [[os.urandom(50_000), True]] for name in names}  # each one acknowledged or refused
for name in names:
    with open(name, "wb") as file:
        file.write(parts[name][0][0])
held = open("held", "wb") if sys.argv[3] == "held" else None
print("written", flush=True)
input()
until, unread, refused = time.monotonic() + float(sys.argv[2]), [], set()
while time.monotonic() < until or (not refused and time.monotonic() < until + 200):
    for name in names:
        try:
            with open(name, "rb") as file:
                if file.read(50_000) != parts[name][0][0]:
                    unread.append(f"{name} is another")
        except OSError as error:
            unread.append(f"{name}: {error}")
        text = os.urandom(20_000)
        part = [text, False]
        try:
            file = os.open(name, os.O_WRONLY | os.O_APPEND)
            parts[name].append(part)
            try:
                written = os.write(file, text)
                part[:] = [text[:written], True]
                parts[name].append([text[written:], False])
            finally:
                os.close(file)
        except OSError as error:
            refused.add(os.strerror(error.errno))
found = {"unread": unread[:5], "refused": sorted(refused)}
found["parts"] = {name: [(text.hex(), kept) for text, kept in parts[name]] for name in names}
print(json.dumps(found), flush=True)
"""

READ = "import sys; print(open(sys.argv[1]).read())"
LIST = "import os; print(sorted(os.listdir()))"
SAVE = """
import errno, sys
try:
    with open(sys.argv[1], "wb", buffering=0) as file:
        text = memoryview(bytes(1 << 20))
        while text:
            text = text[file.write(text):]
except OSError as error:
    print(errno.errorcode[error.errno])
"""

FILL = """
import os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
while True:
    for size in (1 << 20, 1 << 10):
        try:
            while True:
                os.write(file, bytes(size))
        except OSError:
            os.fsync(file)  # what waits to be written would slow others down
    print("full", flush=True)
    time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose agent keeps everything on a small disk; in memory, as a full one is slow."""
    directory = tmp_path_factory.mktemp("d")
    (directory / "agent").mkdir()
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as disk:
        disk.truncate(SIZE)
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-m", "0", disk.name], check=True)
        subprocess.run(["/usr/bin/mount", "-o", "loop", disk.name, directory / "agent"], check=True)
        with running_node(directory) as node:
            yield node


@contextmanager
def filled(node: Node) -> Iterator[None]:
    """Another program writes to the disk whatever fits, as long as this lasts."""
    file = node.config.dir / "agent" / "of-another-program"
    command = [sys.executable, "-c", FILL, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as filler:
        assert filler.stdout is not None
        try:
            assert filler.stdout.readline() == b"full\n"
            yield
        finally:
            filler.kill()
            file.unlink()


def metric(node: Node, name: str) -> float:
    text = node.client.get("/metrics").text
    samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
    (value,) = [sample.value for sample in samples if sample.name == f"quaderno_storage_{name}"]
    return value


def warnings(node: Node) -> list[str]:
    return list(node.client.get("/health").json()["warnings"])


def content(node: Node, user: str, name: str) -> bytes:
    return bytes(node.s3(user).get_object(Bucket=user, Key=name)["Body"].read())


def pending(node: Node, user: str) -> int:
    return int(node.state(user)["pending"]["files"])


def holds(text: bytes, parts: list[tuple[bytes, bool]]) -> bool:
    """Whether `text` is every acknowledged part in order; of a refused one it may have a
    beginning, as a full disk took that."""
    position = 0
    for part, acknowledged in parts:
        here = text[position : position + len(part)]
        if acknowledged and here != part:
            return False
        position += next(
            (n for n, (a, b) in enumerate(zip(here, part, strict=False)) if a != b), len(here)
        )
    return position == len(text)


@contextmanager
def reopening(root: Path, held: str) -> Iterator[subprocess.Popen[str]]:
    """Unsent files of the person, read and appended to again and again once it is told to."""
    with subprocess.Popen(
        [sys.executable, "-c", REOPEN, str(FILES), str(SECONDS), held],
        cwd=root,
        user=mounts.UID,
        group=mounts.GID,
        extra_groups=[],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "written\n"
        try:
            yield program
        finally:
            program.kill()


@pytest.mark.parametrize(
    ("user", "held"),
    [
        pytest.param("alice", "nothing", id="read-only"),
        pytest.param("bob", "held", id="in-use"),
    ],
)
def test_unsent_files_that_are_opened_again_stay(node: Node, user: str, held: str) -> None:
    root = node.ready(user)
    assert os.listdir(root / user) == []  # noqa: PTH208 - rclone has keys from now on
    node.faults.switch("away")
    with reopening(root / user, held) as program:
        with filled(node):
            eventually(lambda: metric(node, "cache_disk_ballast_missing_bytes"), 60, "given up")
            eventually(lambda: metric(node, "cache_disk_free_bytes") < 1 << 20, 60, "it is full")
            output, _ = program.communicate("go on\n", timeout=300)
            assert as_user(SAVE, root / user, "new") in ("EROFS", "ENOSPC", "EIO")
            assert any("ballast" in warning for warning in warnings(node))
        node.faults.switch("pass")
    found = json.loads(output)
    assert found["unread"] == []
    assert found["refused"]
    eventually(lambda: pending(node, user) == 0, 120, "all is uploaded")
    assert len(found["parts"]) == FILES
    assert [
        name
        for name, parts in found["parts"].items()
        if not holds(content(node, user, name), [(bytes.fromhex(text), ok) for text, ok in parts])
    ] == []
    eventually(lambda: not warnings(node), 60, "the ballast is back")
    eventually(lambda: as_user(SAVE, root / user, "new") == "", 60, "it may be written again")
    assert "ballast given up" in (node.config.dir / "agent.log").read_text()


def test_agent_and_rclone_start_on_a_full_disk(node: Node) -> None:
    """As after a crash for want of space: people come in, and what was unsent is sent."""
    root = node.ready("carol")
    node.s3("carol").put_object(Bucket="carol", Key="there", Body=b"readable")
    node.faults.switch("away")
    assert as_user(WRITE, root / "carol", "unsent") == ""
    with filled(node):
        eventually(lambda: metric(node, "cache_disk_free_bytes") < 1 << 20, 60, "it is full")
        os.kill(node.rclone("carol"), signal.SIGKILL)
        node.agent.stop()
        node.faults.switch("pass")
        node.start_agent()
        node.in_state("carol", "READY", 60)
        eventually(lambda: pending(node, "carol") == 0, 60, "it is uploaded")
        assert content(node, "carol", "unsent") == b"text"
        node.refresh("carol")
        assert as_user(LIST, root / "carol") == "['there', 'unsent']"
        eventually(lambda: as_user(SAVE, root / "carol", "new") == "EROFS", 60, "and may not write")
    eventually(lambda: as_user(SAVE, root / "carol", "new") == "", 60, "it may be written again")
    assert as_user(READ, root / "carol", "there") == "readable"
