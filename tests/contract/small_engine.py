"""A container engine of its own, beside the one of this machine, whose disk is small."""

import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_network
from tests.service.running import wait_for


@dataclass(frozen=True)
class SmallEngine:
    """`address` is for DOCKER_HOST; `disk` is where it keeps everything."""

    address: str
    disk: Path

    @contextmanager
    def filled(self) -> Iterator[None]:
        """Another program has taken all the room that was left."""
        file = self.disk / "of-another-program"
        try:
            with file.open("wb", buffering=0) as rest:
                # What the kernel had put aside to write later becomes known with each `fsync`.
                for size in (1 << 20, 1 << 12, 1) * 2:
                    with suppress(OSError):
                        while True:
                            rest.write(bytes(size))
                    with suppress(OSError):
                        os.fsync(rest.fileno())
            yield
        finally:
            file.unlink()

    def listens(self) -> bool:
        """Whoever asks from now on is answered, if not at once."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self.address.removeprefix("unix://")) == 0


@contextmanager
def small_engine(directory: Path, size: int) -> Iterator[SmallEngine]:
    """With a disk of `size` bytes, in memory, as a full one is slow. Nothing is left of it."""
    with ExitStack() as stack:
        engine = SmallEngine(f"unix://{directory}/docker.sock", directory / "data")
        stack.enter_context(_disk(engine.disk, size))
        bridge = stack.enter_context(_bridge())
        stack.enter_context(_dockerd(directory, engine, bridge))
        yield engine


@contextmanager
def _disk(where: Path, size: int) -> Iterator[None]:
    where.mkdir()
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as disk:
        disk.truncate(size)
        subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-m", "0", disk.name], check=True)
        subprocess.run(["/usr/bin/mount", "-o", "loop", disk.name, where], check=True)
        try:
            yield
        finally:
            subprocess.run(["/usr/bin/umount", where], check=True)


@contextmanager
def _bridge() -> Iterator[str]:
    """Its default network. Told to have none, it would delete that of this machine's engine."""
    name = f"q-{secrets.token_hex(4)}"
    address = free_network().replace(".0/", ".1/")
    subprocess.run(["/usr/sbin/ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["/usr/sbin/ip", "address", "add", address, "dev", name], check=True)
        # With a route, its addresses are seen to be taken.
        subprocess.run(["/usr/sbin/ip", "link", "set", name, "up"], check=True)
        yield name
    finally:
        subprocess.run(["/usr/sbin/ip", "link", "delete", name], check=True)


@contextmanager
def _dockerd(directory: Path, engine: SmallEngine, bridge: str) -> Iterator[None]:
    """It ends by its own process; the packet filter is the other engine's."""
    (directory / "daemon.json").write_text("{}")
    command = [
        "dockerd",
        f"--config-file={directory}/daemon.json",
        f"--host={engine.address}",
        f"--data-root={engine.disk}",
        f"--exec-root={directory}/run",
        f"--pidfile={directory}/pid",
        f"--bridge={bridge}",
        "--iptables=false",
        "--ip-forward=false",
    ]
    with (directory / "dockerd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        try:
            wait_for(engine.listens, 60, "the engine's answer")
            yield
        finally:
            process.terminate()
            process.wait(60)
