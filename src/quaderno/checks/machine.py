"""The machine: what its kernel, memory and processors allow."""

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil

from quaderno.checks.finding import Finding, error, warning
from quaderno.config import Config
from quaderno.quantities import format_memory

_GB = 10**9
NOFILE_WANTED = 8192


def check_root(_config: Config, uid: int | None = None) -> Iterator[Finding]:
    """Mounts, users and the engine need root."""
    if (os.geteuid() if uid is None else uid) != 0:
        yield error("not-root", "quaderno does not run as root", "Run it with sudo")


def check_fuse(_config: Config, device: Path = Path("/dev/fuse")) -> Iterator[Finding]:
    """`cloud_storage` is a FUSE mount."""
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as failure:
        yield error(
            "fuse-device",
            f"{device} cannot be used: {failure.strerror}",
            "Load it with `modprobe fuse`; in a container, pass the device to it",
        )
    if not shutil.which("fusermount3"):
        yield error("fuse-tools", "fusermount3 is not installed", "apt-get install fuse3")


def check_memory(config: Config, total: int | None = None) -> Iterator[Finding]:
    """The service itself takes about 1 GB."""
    total = psutil.virtual_memory().total if total is None else total
    if total < 2 * _GB:
        yield warning(
            "memory-low", f"this machine has {total / _GB:.1f} GB of memory", "2 GB are the least"
        )
    if config.servers.memory.default > total:
        offered = format_memory(config.servers.memory.default)
        yield warning(
            "memory-offer",
            f"servers.memory.default is {offered}, more than this machine has",
            "Lower it in quaderno.yaml",
        )


def check_cpu(config: Config, cores: int | None = None) -> Iterator[Finding]:
    """The engine refuses a container more CPUs than there are."""
    cores = cores or os.cpu_count() or 1
    most = max(config.servers.cpu.choices)
    if most > cores:
        yield error(
            "cpu-offer",
            f"servers.cpu.choices offers {most:g} CPUs, and this machine has {cores}",
            "Lower it in quaderno.yaml",
        )


def check_open_files(_config: Config, hard: int | None = None) -> Iterator[Finding]:
    """Each mount, connection and stored volume is an open file."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    if hard != resource.RLIM_INFINITY and hard < NOFILE_WANTED:
        yield warning(
            "open-files",
            f"a process may have {hard} open files only",
            f"Raise the hard limit (ulimit -Hn) to {NOFILE_WANTED}",
        )
