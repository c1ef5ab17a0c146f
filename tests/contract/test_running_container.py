"""What a program in a running container notices of ends and restarts: no mount stays broken."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from quaderno.storage import mounts
from tests.contract.node_fixtures import Node, running_node
from tests.contract.storage_fixtures import eventually, limit

ENTER = (
    'mount --rbind "$1" /mnt && mount --make-rslave /mnt && cd / && '
    f"exec setpriv --reuid {mounts.UID} --regid {mounts.GID} --clear-groups --inh-caps=-all "
    '"$2" -c "$3"'
)
TRY = """
import errno, os, sys
for number, _ in enumerate(sys.stdin):
    try:
        for place in ("/mnt/judy", "/mnt/scratch/judy"):
            with open(f"{place}/{number}", "w") as file:
                file.write("text")
            with open(f"{place}/{number}") as file:
                assert file.read() == "text"
            os.unlink(f"{place}/{number}")
        assert "judy" in os.listdir("/mnt/scratch")
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
    else:
        print("ok", flush=True)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("c")) as node:
        yield node


@pytest.fixture
def attempt(node: Node) -> Iterator[Callable[[], str]]:
    """Have the program read and write; `ok` or the error's name.

    As an engine binds it: a slave of the shared parent, in a mount namespace of its own.
    """
    root = node.ready("judy")
    command = ["/usr/bin/unshare", "--mount", "--propagation", "slave", "sh", "-c", ENTER, "sh"]
    with subprocess.Popen(
        [*command, str(root), sys.executable, TRY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        to, back = program.stdin, program.stdout
        assert to is not None
        assert back is not None

        def ask() -> str:
            to.write("try\n")
            to.flush()
            return back.readline().strip()

        assert ask() == "ok"
        yield ask
        program.kill()


def usable_from_now_on(attempt: Callable[[], str]) -> None:
    eventually(lambda: attempt() == "ok", 60, "it is usable")
    assert {attempt() for _ in range(20)} == {"ok"}


def test_rclone_ends(
    node: Node, attempt: Callable[[], str], record_property: Callable[[str, object], None]
) -> None:
    for _ in range(3):
        first = node.rclone("judy")
        began = time.monotonic()
        os.kill(first, signal.SIGKILL)
        eventually(lambda f=first: node.rclone("judy") != f, 60, "another rclone")  # type: ignore[misc]
        left = began + limit(3, 60) - time.monotonic()
        eventually(lambda: attempt() == "ok", left, "it is usable")
        record_property("usable_again_seconds", time.monotonic() - began)
        usable_from_now_on(attempt)


def test_nobody_notices_that_the_agent_is_restarted(node: Node, attempt: Callable[[], str]) -> None:
    first = node.rclone("judy")
    for how in (signal.SIGTERM, signal.SIGKILL):
        node.agent.stop(how)
        assert {attempt() for _ in range(20)} == {"ok"}
        node.start_agent()
        assert {attempt() for _ in range(20)} == {"ok"}
        node.in_state("judy", "READY")
        assert {attempt() for _ in range(20)} == {"ok"}
    assert node.rclone("judy") == first


def test_rclone_ends_while_the_agent_is_away(node: Node, attempt: Callable[[], str]) -> None:
    node.agent.stop(signal.SIGTERM)
    os.kill(node.rclone("judy"), signal.SIGKILL)
    eventually(lambda: attempt() == "ENOTCONN", 60, "nothing serves it")
    node.start_agent()
    usable_from_now_on(attempt)
