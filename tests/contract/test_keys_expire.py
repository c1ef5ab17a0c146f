"""Keys expire under load again and again, and for a while there are no others: nobody notices.

By default the keys live for 40 seconds, and for 10 nobody gives out others. `make soak`
has keys of 15 minutes, 40 minutes of load, and 3 minutes without others.
"""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from quaderno.storage import mounts
from tests.contract.node_fixtures import Node, running_node
from tests.contract.storage_fixtures import SOAK, eventually, limit

LIFE, LOAD, SILENT = (900, 2400, 180) if SOAK else (40, 60, 10)  # seconds
pytestmark = pytest.mark.timeout(LOAD + 600)

GIVEN = 1000  # objects that only the store has
# Saves, reads back, lists, and reads what only the store has; a line for each file or error.
PROGRAM = """
import hashlib, os, random, sys, time
chance, number, until = random.Random(1), 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < until:
    number += 1
    name = f"dir-{number % 7}/{number % 50}.bin"
    data = chance.randbytes(chance.randrange(1, 300_000))
    try:
        os.makedirs(os.path.dirname(name), exist_ok=True)
        with open(name, "wb") as file:
            file.write(data)
        print(name, hashlib.sha256(data).hexdigest(), flush=True)
        assert open(name, "rb").read() == data
        assert f"{number % 50}.bin" in os.listdir(os.path.dirname(name))
        with open(f"given/{number % 1000}", "rb") as file:
            file.read()
    except Exception as error:
        print("error", repr(error).replace(" ", "_"), flush=True)
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("k")) as node:
        node.hub.key_life = timedelta(seconds=LIFE)
        least = max(LIFE, 900)  # that the store gives out
        store = node.config.store.model_copy(update={"key_lifetime": least})
        node.issuer.config = node.config.model_copy(update={"store": store})
        yield node
        node.hub.speaks.set()


def test_keys_expire_under_load_without_notice(node: Node, tmp_path: Path) -> None:
    root, log = node.ready("alice"), tmp_path / "log"
    s3 = node.s3("alice")
    for number in range(GIVEN):
        s3.put_object(Bucket="alice", Key=f"given/{number}", Body=b"x" * 1000)
    node.refresh("alice")
    began = time.monotonic()
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(LOAD)],
            cwd=root / "alice",
            user=mounts.UID,
            group=mounts.GID,
            extra_groups=[],
            stdout=output,
        ) as program,
    ):
        # Off when the keys of then are due to be renewed, or soon will be.
        eventually(lambda: time.monotonic() - began > LIFE / 2 - SILENT / 2, LIFE, "they are old")
        node.hub.speaks.clear()
        off = time.monotonic()
        eventually(lambda: time.monotonic() - off > SILENT / 2, SILENT, "all answers are given")
        given = len(node.hub.given)
        eventually(lambda: time.monotonic() - off > SILENT, SILENT + 5, "it is off")
        assert len(node.hub.given) == given
        node.hub.speaks.set()
        assert program.wait(LOAD + 60) == 0
    lines = [line.split() for line in log.read_text().splitlines()]
    assert [line for line in lines if line[0] == "error"] == []
    assert len(lines) > limit(LOAD, LOAD / 10)
    assert LOAD / LIFE <= len(node.hub.given) < LOAD, "renewed in time, and not with each request"
    eventually(lambda: node.state("alice")["pending"]["files"] == 0, 60, "all is sent")
    written = dict(lines)
    assert written == {
        name: hashlib.sha256(node.content("alice", name)).hexdigest() for name in written
    }
