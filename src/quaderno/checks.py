"""Start-up checks: what would stop Quaderno on this machine, found before anything starts.

A check yields findings; each has an id that stays the same, one line that says what is wrong and
one that says what to do. `error` means that `quaderno up` cannot succeed. What is wrong in
quaderno.yaml alone is found earlier, when it is read (`config.load`).
"""

import errno
import ipaddress
import os
import resource
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil

from quaderno import components, firewall, host, network, process
from quaderno.config import Config
from quaderno.errors import HostError
from quaderno.images import host as images_host
from quaderno.quantities import format_memory
from quaderno.storage import description_disk, project_quota

_GB = 10**9
DISK_NEEDED, DISK_WANTED = 5 * _GB, 20 * _GB
NOFILE_WANTED = 8192
SOCKET_PATH_MAX = 107  # bytes; sun_path in unix(7), without the final zero


@dataclass(frozen=True)
class Finding:
    """What a check found."""

    id: str
    level: Literal["error", "warning"]
    problem: str
    hint: str


def run(config: Config) -> list[Finding]:
    """Everything found, errors first."""
    found = [finding for check in CHECKS for finding in check(config)]
    return sorted(found, key=lambda finding: finding.level)


def _error(identifier: str, problem: str, hint: str) -> Finding:
    return Finding(identifier, "error", problem, hint)


def _warning(identifier: str, problem: str, hint: str) -> Finding:
    return Finding(identifier, "warning", problem, hint)


# --- the machine


def check_root(_config: Config, uid: int | None = None) -> Iterator[Finding]:
    """Mounts, users and the engine need root."""
    if (os.geteuid() if uid is None else uid) != 0:
        yield _error("not-root", "quaderno does not run as root", "Run it with sudo")


def check_engine(_config: Config, answers: bool | None = None) -> Iterator[Finding]:
    """Servers are containers."""
    if host.engine_answers() if answers is None else answers:
        return
    if shutil.which("dockerd") and not os.environ.get("DOCKER_HOST"):
        yield _warning("engine-stopped", "the container engine does not run", "up starts it")
    else:
        yield _error("engine-missing", "no container engine answers", host.ENGINE_HINT)


def check_engine_group(_config: Config, socket: Path = host.ENGINE_SOCKET) -> Iterator[Finding]:
    """The hub uses the engine as a member of its socket's group."""
    if socket.exists() and socket.stat().st_gid == 0 and not os.environ.get("DOCKER_HOST"):
        yield _error(
            "engine-group",
            f"{socket} belongs to root's group, which the hub must not join",
            'Give it a group of its own: `"group": "docker"` in /etc/docker/daemon.json',
        )


def check_fuse(_config: Config, device: Path = Path("/dev/fuse")) -> Iterator[Finding]:
    """`cloud_storage` is a FUSE mount."""
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as error:
        yield _error(
            "fuse-device",
            f"{device} cannot be used: {error.strerror}",
            "Load it with `modprobe fuse`; in a container, pass the device to it",
        )
    if not shutil.which("fusermount3"):
        yield _error("fuse-tools", "fusermount3 is not installed", "apt-get install fuse3")


def check_description_disk(
    _config: Config, device: Path = Path("/dev/loop-control"), path: str = description_disk.PATH
) -> Iterator[Finding]:
    """A full disk loses no file when the descriptions of cached ones are on a disk of their own."""
    missing = [name for name in description_disk.PROGRAMS if not shutil.which(name, path=path)]
    if missing:
        yield _warning(
            "description-disk",
            f"without {missing[0]}, a full disk can lose files that are not uploaded",
            "apt-get install e2fsprogs mount",
        )
    elif not os.access(device, os.R_OK | os.W_OK):
        yield _warning(
            "description-disk",
            f"{device} cannot be used, so a full disk can lose files that are not uploaded",
            "Load it with `modprobe loop`; in a container, pass it and /dev/loop* to it",
        )


def check_disk(config: Config, free: Callable[[Path], int] | None = None) -> Iterator[Finding]:
    """Room for people's data, the upload cache and images."""
    free = free or (lambda path: shutil.disk_usage(path).free)
    places = {"the state directory": _existing(config.dir), "images": _engine_root()}
    for what, path in places.items():
        left = free(path)
        if left >= DISK_WANTED:
            continue
        problem = f"{left / _GB:.1f} GB are free in {path}, for {what}"
        if left < DISK_NEEDED:
            yield _error("disk-full", problem, f"Free some: at least {DISK_NEEDED // _GB} GB")
        else:
            yield _warning("disk-low", problem, f"{DISK_WANTED // _GB} GB or more are advised")


def _existing(path: Path) -> Path:
    return next(place for place in [path, *path.parents] if place.exists())


def _engine_root() -> Path:
    return _existing(Path("/var/lib/docker"))


def check_local_quota(config: Config, enforced: bool | None = None) -> Iterator[Finding]:
    """A wish that the file system cannot fulfil would go unnoticed."""
    if not config.servers.local_quota:
        return
    place = _existing(config.local)
    if not (project_quota.enforced(place) if enforced is None else enforced):
        yield _warning(
            "local-quota",
            f"servers.local_quota has no effect: {place} is on no file system with project quotas",
            "Use ext4 (tune2fs -O project,quota) or xfs, mounted with the option prjquota",
        )


def check_memory(config: Config, total: int | None = None) -> Iterator[Finding]:
    """The service itself takes about 1 GB."""
    total = psutil.virtual_memory().total if total is None else total
    if total < 2 * _GB:
        yield _warning(
            "memory-low", f"this machine has {total / _GB:.1f} GB of memory", "2 GB are the least"
        )
    if config.servers.memory.default > total:
        offered = format_memory(config.servers.memory.default)
        yield _warning(
            "memory-offer",
            f"servers.memory.default is {offered}, more than this machine has",
            "Lower it in quaderno.yaml",
        )


def check_cpu(config: Config, cores: int | None = None) -> Iterator[Finding]:
    """The engine refuses a container more CPUs than there are."""
    cores = cores or os.cpu_count() or 1
    most = max(config.servers.cpu.choices)
    if most > cores:
        yield _error(
            "cpu-offer",
            f"servers.cpu.choices offers {most:g} CPUs, and this machine has {cores}",
            "Lower it in quaderno.yaml",
        )


def check_open_files(_config: Config, hard: int | None = None) -> Iterator[Finding]:
    """Each mount, connection and stored volume is an open file."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if hard is None else hard
    if hard != resource.RLIM_INFINITY and hard < NOFILE_WANTED:
        yield _warning(
            "open-files",
            f"a process may have {hard} open files only",
            f"Raise the hard limit (ulimit -Hn) to {NOFILE_WANTED}",
        )


def check_forwarding(
    _config: Config, switch: Path = Path("/proc/sys/net/ipv4/ip_forward")
) -> Iterator[Finding]:
    """Servers reach the outside through this machine; the engine switches it on as it starts."""
    if switch.read_text(encoding="ascii").strip() == "0" and host.engine_answers():
        yield _warning(
            "ip-forward",
            "this machine does not forward packets, so servers reach nothing outside",
            "sysctl -w net.ipv4.ip_forward=1",
        )


def check_firewall(config: Config) -> Iterator[Finding]:
    """What servers must not reach is up to us, unless the operator sees to it."""
    if not config.servers.firewall:
        yield _warning(
            "firewall-off",
            "servers reach this machine's ports and its cloud's metadata service",
            "Set `servers.firewall: true`, unless rules of your own forbid it",
        )
    elif not firewall.program():
        yield _warning(
            "firewall-missing",
            "without iptables, servers reach this machine's ports and its cloud's metadata service",
            "apt-get install iptables",
        )


def check_image_builder(_config: Config) -> Iterator[Finding]:
    """The base image is built with the engine's command line."""
    try:
        images_host.docker_client()
    except HostError as error:
        yield _error("image-builder", error.message, error.hint)


# --- where it would run


def check_reachable(config: Config) -> Iterator[Finding]:
    """Components run as users of their own, who must get to their directories."""
    closed = host.reachable_by_others(_existing(config.dir))
    if closed:
        yield _error(
            "dir-closed",
            f"{closed} keeps the components from {config.dir}",
            f"chmod o+x {closed}, or choose another directory with --dir",
        )
    longest = max(len(os.fsencode(path)) for path in (config.agent_socket, config.dir))
    if longest > SOCKET_PATH_MAX:
        yield _error(
            "dir-long",
            f"{config.dir} is too long for the sockets in it",
            f"Choose one shorter by {longest - SOCKET_PATH_MAX} characters with --dir",
        )


def check_ports(config: Config) -> Iterator[Finding]:
    """Nothing else listens where we would."""
    ours = _own_processes(config)
    for name, port in config.ports:
        address = _address(config, name)
        if not _in_use(address, port):
            continue
        pid, program = _listener(port)
        if pid in ours:
            continue
        yield _error(
            "port-in-use",
            f"port {port} (ports.{name}) is in use by {program}",
            f"Stop it, or set ports.{name} to another port in quaderno.yaml",
        )


def check_outgoing_ports(config: Config) -> Iterator[Finding]:
    """No outgoing connection is given a component's port while that restarts."""
    taken = sorted({port for _, port in config.ports} & host.outgoing_ports())
    if taken:
        yield _warning(
            "port-outgoing",
            f"ports {taken[0]} to {taken[-1]} are given to outgoing connections, too",
            "A component may find its port taken at a restart: set lower `ports`, or reserve them"
            f" (sysctl net.ipv4.ip_local_reserved_ports={taken[0]}-{taken[-1]})",
        )


def _address(config: Config, port_name: str) -> str:
    if port_name in ("web", "iam", "s3", "director", "stores"):
        return config.listen
    return config.servers.gateway if port_name.startswith("servers_") else "127.0.0.1"


def _in_use(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _listener(port: int) -> tuple[int | None, str]:
    """Who listens on `port`, as far as we may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            listening = connection.status == psutil.CONN_LISTEN
            if listening and connection.laddr and connection.laddr.port == port and connection.pid:
                name = psutil.Process(connection.pid).name()
                return connection.pid, f"{name} (process {connection.pid})"
    except psutil.Error:
        pass  # it ended, or is not ours to look into: its name is a courtesy
    return None, "another program"


def _own_processes(config: Config) -> set[int]:
    """The processes of this instance's components."""
    return {
        pid
        for component in components.COMPONENTS
        for pid in process.holders(process.lock_path(config, component.name))
    }


def check_network(config: Config) -> Iterator[Finding]:
    """The servers' addresses belong to nobody else."""
    wanted = ipaddress.IPv4Network(config.servers.network)
    for other, whose in network.taken(config.instance):
        if wanted.overlaps(other):
            yield _error(
                "network-overlap",
                f"servers.network {wanted} overlaps {other} of {whose}",
                "Set servers.network to a free private network in quaderno.yaml",
            )


# --- what the configuration says about the world


def check_public_url(config: Config) -> Iterator[Finding]:
    """Browsers get to where we listen, and passwords travel encrypted."""
    url = urlsplit(config.public_url)
    inside = _is_loopback(url.hostname or "")
    listens_inside = _is_loopback(config.listen)
    if inside != listens_inside:
        yield _warning(
            "public-url",
            f"public_url is {config.public_url}, but the service listens on {config.listen}",
            "Set `listen: 0.0.0.0`, unless another proxy on this machine forwards to it"
            if listens_inside
            else "Set `public_url` to the address that people use",
        )
    port = url.port or (443 if url.scheme == "https" else 80)
    if not listens_inside and port != (ours := getattr(config.ports, config.entrance)):
        yield _warning(
            "public-port",
            f"public_url names port {port}, but ports.{config.entrance} is {ours}",
            "Make them equal, unless something in front forwards one to the other",
        )
    if url.scheme == "http" and not inside:
        yield _warning(
            "no-tls",
            f"passwords travel unencrypted to {config.public_url}",
            "Set `tls`, and `public_url` to https://",
        )


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def check_tls_files(config: Config) -> Iterator[Finding]:
    """Certificate and key are there."""
    if config.tls.mode != "files":
        return
    for name, path in (("certificate", config.tls.certificate), ("key", config.tls.key)):
        if path and not os.access(path, os.R_OK):
            yield _error("tls-files", f"tls.{name}: {path} cannot be read", "Correct the path")


CHECKS: tuple[Callable[[Config], Iterator[Finding]], ...] = (
    check_root,
    check_engine,
    check_engine_group,
    check_fuse,
    check_description_disk,
    check_disk,
    check_local_quota,
    check_memory,
    check_cpu,
    check_open_files,
    check_forwarding,
    check_firewall,
    check_image_builder,
    check_reachable,
    check_ports,
    check_outgoing_ports,
    check_network,
    check_public_url,
    check_tls_files,
)
