"""What one person's rclone takes of this machine's memory: little when idle, and a bounded amount
at work, however large the file."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quaderno.storage import mounts
from tests.contract.node_fixtures import Node, running_node
from tests.contract.storage_fixtures import eventually

MB = 10**6
# The program's own 60 MB are in memory once, and shared by all who run it.
PEOPLE = ("alice", "bob", "carol", "dave", "erin", "fred", "gina", "hugo")
IDLE_PSS, PEAK_RSS = 30 * MB, 160 * MB
SIZE = 512 << 20  # bytes

WRITE = """
import os, sys
block = os.urandom(4 << 20)
with open("large", "wb") as file:
    for _ in range(int(sys.argv[1]) // len(block)):
        file.write(block)
"""
READ = """
import os
with open("copy", "rb", buffering=0) as file:
    while file.read(4 << 20):
        pass
    print(os.fstat(file.fileno()).st_size)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("m")) as node:
        yield node


def memory(pid: int, file: str, field: str) -> int:
    """A line such as `Pss:  20480 kB` of the process's file in /proc (proc(5)), in bytes."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def long_as_user(root: Path, script: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=root,
        user=mounts.UID,
        group=mounts.GID,
        extra_groups=[],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=600,
    )
    return result.stdout.strip()


def test_memory(node: Node, record_property: Callable[[str, object], None]) -> None:
    root = node.ready("alice")
    for user in PEOPLE[1:]:
        node.ready(user)
    pid = node.rclone("alice")
    idle = memory(pid, "smaps_rollup", "Pss")
    long_as_user(root / "alice", WRITE, str(SIZE))
    eventually(lambda: node.has_sent("alice", "large"), 300, "it is uploaded")
    store = node.s3("alice")
    store.copy_object(Bucket="alice", Key="copy", CopySource={"Bucket": "alice", "Key": "large"})
    node.refresh("alice")
    assert long_as_user(root / "alice", READ) == str(SIZE)
    assert node.rclone("alice") == pid
    peak = memory(pid, "status", "VmHWM")
    record_property("idle_pss_mb", idle / MB)
    record_property("peak_rss_mb", peak / MB)
    assert idle <= IDLE_PSS
    assert peak <= PEAK_RSS
