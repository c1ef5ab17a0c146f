"""Ports, the network of people's servers, and what these reach."""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from quaderno import components, firewall, host, network, process
from quaderno.checks.finding import Finding, error, warning
from quaderno.config import Config


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
        yield error(
            "port-in-use",
            f"port {port} (ports.{name}) is in use by {program}",
            f"Stop it, or set ports.{name} to another port in quaderno.yaml",
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


def check_outgoing_ports(config: Config) -> Iterator[Finding]:
    """No outgoing connection is given a component's port while that restarts."""
    taken = sorted({port for _, port in config.ports} & host.outgoing_ports())
    if taken:
        yield warning(
            "port-outgoing",
            f"ports {taken[0]} to {taken[-1]} are given to outgoing connections, too",
            "A component may find its port taken at a restart: set lower `ports`, or reserve them"
            f" (sysctl net.ipv4.ip_local_reserved_ports={taken[0]}-{taken[-1]})",
        )


def check_network(config: Config) -> Iterator[Finding]:
    """The servers' addresses belong to nobody else."""
    wanted = ipaddress.IPv4Network(config.servers.network)
    for other, whose in network.taken(config.instance):
        if wanted.overlaps(other):
            yield error(
                "network-overlap",
                f"servers.network {wanted} overlaps {other} of {whose}",
                "Set servers.network to a free private network in quaderno.yaml",
            )


def check_forwarding(
    _config: Config, switch: Path = Path("/proc/sys/net/ipv4/ip_forward")
) -> Iterator[Finding]:
    """Servers reach the outside through this machine; the engine switches it on as it starts."""
    if switch.read_text(encoding="ascii").strip() == "0" and host.engine_answers():
        yield warning(
            "ip-forward",
            "this machine does not forward packets, so servers reach nothing outside",
            "sysctl -w net.ipv4.ip_forward=1",
        )


def check_firewall(config: Config) -> Iterator[Finding]:
    """What servers must not reach is up to us, unless the operator sees to it."""
    if not config.servers.firewall:
        yield warning(
            "firewall-off",
            "servers reach this machine's ports and its cloud's metadata service",
            "Set `servers.firewall: true`, unless rules of your own forbid it",
        )
    elif not firewall.program():
        yield warning(
            "firewall-missing",
            "without iptables, servers reach this machine's ports and its cloud's metadata service",
            "apt-get install iptables",
        )
