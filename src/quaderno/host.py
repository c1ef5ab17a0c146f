"""This machine: its container engine, system users and networks.

Everything here is idempotent: `ensure_*` may be called at every start, and an engine or user that
exists is never changed.
"""

import ipaddress
import os
import pwd
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env
from requests.exceptions import RequestException

from quaderno.errors import HostError

Progress = Callable[[str], None]
ENGINE_DEADLINE = 60.0
ENGINE_SOCKET = Path("/var/run/docker.sock")
ENGINE_HINT = "Install it (apt-get install docker.io), or set DOCKER_HOST to one that runs"


@contextmanager
def engine(timeout: int = 60) -> Iterator[docker.APIClient]:
    """A client of the container engine that DOCKER_HOST names, else of the local one.

    Raises HostError when the engine does not answer; `timeout` is in seconds.
    """
    if not os.environ.get("DOCKER_HOST") and not _listens(ENGINE_SOCKET):
        # The client below would leave its socket open when it fails.
        raise HostError("the container engine does not answer", ENGINE_HINT)
    client = None
    try:
        client = docker.APIClient(version="auto", timeout=timeout, **kwargs_from_env())
        yield client
    except (DockerException, RequestException) as error:
        if client is not None and isinstance(error, APIError):
            raise
        raise HostError("the container engine does not answer", ENGINE_HINT) from error
    finally:
        if client is not None:
            client.close()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def engine_answers() -> bool:
    """Whether a container engine can be used."""
    try:
        with engine(timeout=5) as client:
            return bool(client.ping())
    except HostError:
        return False


def ensure_engine(log: Path, progress: Progress) -> None:
    """A container engine answers; one that is there is left alone.

    Where systemd is process 1 it starts the engine; elsewhere `dockerd` starts as a process of
    its own and outlives this program. Raises HostError, with the end of `log`, when it does not.
    """
    if engine_answers():
        return
    if os.environ.get("DOCKER_HOST"):
        raise HostError(
            "the engine at DOCKER_HOST does not answer", "Start it, or unset the variable"
        )
    if not shutil.which("dockerd"):
        raise HostError("there is no container engine", ENGINE_HINT)
    progress("Starting the container engine")
    if Path("/run/systemd/system").is_dir():
        subprocess.run(["systemctl", "start", "docker"], check=False)  # noqa: S607
    else:
        _spawn_dockerd(log)
    deadline = time.monotonic() + ENGINE_DEADLINE
    while not engine_answers():
        if time.monotonic() > deadline:
            raise HostError("the container engine did not start", f"See {log} or its own log")
        time.sleep(0.2)


def _spawn_dockerd(log: Path) -> None:
    """`dockerd` in a session of its own, with our hard limit of open files for its containers."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        subprocess.run(
            ["setsid", "--fork", "dockerd", "--default-ulimit", f"nofile={hard}:{hard}"],  # noqa: S607
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=True,
        )


def engine_group() -> int | None:
    """The group that may use the local engine's socket.

    None without such a socket, where DOCKER_HOST names another, and where the group is root's:
    membership of that one would be more than use of the engine.
    """
    try:
        group = ENGINE_SOCKET.stat().st_gid
    except FileNotFoundError:
        return None
    return group if group and not os.environ.get("DOCKER_HOST") else None


def ensure_user(name: str) -> None:
    """A system user `name`, with a group of its own, that cannot log in."""
    if _is_user(name):
        return
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command = ["useradd", *options, "--shell", "/usr/sbin/nologin", name]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode and not _is_user(name):  # another instance may have been faster
        reason = " ".join(result.stderr.split())
        raise HostError(f"the system user {name} cannot be created: {reason}")


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def routes(table: str | None = None) -> list[tuple[ipaddress.IPv4Network, str]]:
    """The networks this machine has a route to and their interfaces, the default route excepted.

    `table` is text in the form of /proc/net/route (proc(5)): addresses are hexadecimal numbers
    in this machine's byte order.
    """
    if table is None:
        table = Path("/proc/net/route").read_text(encoding="ascii")
    found = []
    for line in table.splitlines()[1:]:
        interface, destination, mask = (line.split()[i] for i in (0, 1, 7))
        network = ipaddress.IPv4Network(f"{_address(destination)}/{_address(mask)}", strict=False)
        if network.prefixlen:
            found.append((network, interface))
    return found


def outgoing_ports() -> set[int]:
    """Those that outgoing connections are given (ip-sysctl, ip_local_port_range)."""
    sysctl = Path("/proc/sys/net/ipv4")
    first, last = (sysctl / "ip_local_port_range").read_text(encoding="ascii").split()
    reserved = (sysctl / "ip_local_reserved_ports").read_text(encoding="ascii").strip()
    ports = set(range(int(first), int(last) + 1))
    for span in filter(None, reserved.split(",")):
        start, _, end = span.partition("-")
        ports -= set(range(int(start), int(end or start) + 1))
    return ports


def _address(hexadecimal: str) -> str:
    return socket.inet_ntoa(socket.ntohl(int(hexadecimal, 16)).to_bytes(4, "big"))


def reachable_by_others(path: Path) -> Path | None:
    """The first directory on the way to `path` that other users cannot pass; None when all can."""
    for directory in reversed([path, *path.parents]):
        if directory.exists() and not directory.stat().st_mode & 0o001:
            return directory
    return None
