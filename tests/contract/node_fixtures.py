"""A whole node for the storage contracts: a store, a hub's key endpoint and a real agent."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.storage import agent, ballast, buckets, description_disk, leases, mount_table, mounts
from tests.contract.fault_proxy import FaultProxy
from tests.contract.storage_fixtures import Hub, Issuer, Program, Store, eventually, new_config

SERVER = "-"


class Node:
    """A store, a hub's key endpoint and an agent, on this machine."""

    def __init__(
        self,
        config: Config,
        first: "Node | None" = None,
        *,
        faults: bool = True,
        external: bool = False,
    ) -> None:
        """With `first`, another node of the same service: store and hub are the first one's.

        The agent and its rclones reach the store through a proxy that stages `faults`, or directly;
        the agent may take its store for an `external` one.
        """
        self.config = config
        self.issuer: Issuer = first.issuer if first else Issuer(config)
        self.store: Store = first.store if first else Store(config)
        self.hub: Hub = first.hub if first else Hub(config, self.issuer)
        self.faults = FaultProxy(config.ports.store_s3)
        settings = config.dir / "settings.yaml"
        of_agent = config
        if faults:
            endpoint = f"http://127.0.0.1:{self.faults.port}"
            changed: dict[str, Any] = {"endpoint": endpoint, "embedded": not external}
            of_agent = config.model_copy(update={"store": config.store.model_copy(update=changed)})
        settings.write_text(configuration.dump(configuration.for_component(of_agent, "agent")))
        environment = {"QUADERNO_CONFIG": str(settings)}
        self.agent = Program(agent.command(config), environment, config.dir / "agent.log")
        transport = httpx.HTTPTransport(uds=str(config.agent_socket))
        self.client = httpx.Client(transport=transport, base_url="http://agent", timeout=180)

    def start_agent(self) -> None:
        self.agent.start()
        eventually(self._agent_answers, 60, "the agent answers")

    def _agent_answers(self) -> bool:
        assert self.agent.process.poll() is None, "the agent ended"
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.config.agent_socket)):
                return False
        return self.client.get("/health").status_code == 200

    def use(self, user: str, server: str = SERVER) -> dict[str, Any]:
        answer = self.client.put(f"/users/{user}/servers/{server}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def release(self, user: str, server: str = SERVER) -> None:
        assert self.client.delete(f"/users/{user}/servers/{server}").status_code == 200

    def refresh(self, user: str) -> None:
        assert self.client.post(f"/users/{user}/refresh").status_code == 200

    def state(self, user: str, wait: float = 0) -> dict[str, Any]:
        return dict(self.client.get(f"/users/{user}", params={"wait": wait}).json())

    def ready(self, user: str, within: float = 60) -> Path:
        """Their `cloud_storage`, mounted."""
        self.use(user)
        eventually(lambda: self.state(user, 5)["state"] == "READY", within, f"{user} is ready")
        return self.config.mounts / user

    def in_state(self, user: str, state: str, seconds: float = 60) -> dict[str, Any]:
        found = self.state(user)

        def is_there() -> bool:
            nonlocal found
            found = self.state(user)
            return bool(found["state"] == state)

        try:
            eventually(is_there, seconds, f"{user} is {state}")
        except AssertionError as error:
            error.add_note(f"{user} is {found['state']}: {found['reason']}")
            raise
        return found

    def s3(self, user: str) -> Any:
        return buckets.client(self.config, self.issuer.keys(user))

    def has_sent(self, user: str, *names: str) -> bool:
        """Whether these files are in the person's bucket, and nothing waits; as long as a file is
        not there, its closing may still be on its way to rclone, and nothing waits, either."""
        is_there = self.keys_in_s3(user, user).issuperset(names)
        return is_there and self.state(user)["pending"]["files"] == 0

    def keys_in_s3(self, user: str, bucket: str) -> set[str]:
        """All but the lease."""
        listed = self.s3(user).list_objects_v2(Bucket=bucket).get("Contents", [])
        own = leases.key(user)
        return {item["Key"] for item in listed} - {own, f"{Path(own).parent}/"}

    def content(self, user: str, key: str) -> bytes:
        """Of an object in their bucket."""
        return bytes(self.s3(user).get_object(Bucket=user, Key=key)["Body"].read())

    def rclone(self, user: str) -> int:
        return int(mounts.plan(self.config, user).lock.read_text())

    def close(self) -> None:
        self.client.close()
        self.agent.stop()
        for lock in mounts.users_directory(self.config).glob("*/lock"):
            with suppress(psutil.NoSuchProcess):  # it may be ending now
                process = psutil.Process(int(lock.read_text() or 0))
                if "rclone" in process.name():
                    process.kill()
        mount_table.unmount_all(self.config.dir)
        for large in (description_disk.image(self.config), ballast.path(self.config)):
            large.unlink(missing_ok=True)  # pytest keeps the directory for a while


@contextmanager
def running_node(
    directory: Path, *, faults: bool = True, external: bool = False, **agent_settings: object
) -> Iterator[Node]:
    """A node with nobody on it; skips the test where nothing can be mounted."""
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("mounting needs root and /dev/fuse")
    config = _with_settings(new_config(directory), agent_settings)
    node = Node(config, faults=faults, external=external)
    with ExitStack() as stack:
        stack.enter_context(node.issuer.serving())
        stack.enter_context(node.hub.serving())
        stack.callback(node.store.stop)
        node.store.start()
        stack.enter_context(_running_agent(node))
        yield node


@contextmanager
def second_node(first: Node, directory: Path, **agent_settings: object) -> Iterator[Node]:
    """Another node with the store and the hub of the first."""
    ports = first.config.ports.model_copy(
        update={"agent_keys": new_config(directory).ports.agent_keys}
    )
    settings = {"dir": directory, "ports": ports, "node": "second"}
    config = first.config.model_copy(update=settings)
    with _running_agent(Node(_with_settings(config, agent_settings), first)) as node:
        yield node


@contextmanager
def _running_agent(node: Node) -> Iterator[Node]:
    with node.faults.serving(), ExitStack() as stack:
        stack.callback(node.close)
        agent.prepare(node.config)
        node.start_agent()
        yield node


def _with_settings(config: Config, of_agent: dict[str, object]) -> Config:
    return config.model_copy(update={"agent": config.agent.model_copy(update=of_agent)})


def as_user(script: str, *arguments: object) -> str:
    """What `script` prints when the person in a server (1000:100, no capabilities) runs it.

    The agent's directories are closed to everybody on the host, so they are entered before the
    identity changes, as a bind mount does.
    """
    result = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments[1:])],
        cwd=str(arguments[0]),
        user=mounts.UID,
        group=mounts.GID,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@contextmanager
def at_work(script: str, directory: Path, says: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A program in `directory` that has said `says`, and waits for a line: in a process of its own,
    for closing a copy of a file, as every fork does, waits for rclone."""
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline().decode() == f"{says}\n"
        yield program


WRITE = """
import sys, errno
try:
    open(sys.argv[1], "w").write("text")
except OSError as error:
    print(errno.errorcode[error.errno])
"""
