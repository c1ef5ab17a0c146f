"""What people's servers may reach of this machine and of its cloud: rules of the packet filter.

Without them a server reaches every port on which this machine listens on all interfaces, and the
cloud's metadata service, which hands out credentials of the machine. An instance has two chains of
its own in iptables(8), at the head of the ways into the machine and through it, for packets from
`servers.network` alone. They only ever refuse, but for the gateway's two ports; whatever else they
let pass goes on to the rules of the engine and the operator.

iptables, since that is what the engine uses, and replaces the rules of one instance at once.
"""

import os
import shutil
import subprocess

from quaderno.config import Config
from quaderno.errors import HostError

LINK_LOCAL = "169.254.0.0/16"  # RFC 3927; at clouds the metadata service, and at some also DNS
_LEFT_TO_OPERATORS = "DOCKER-USER"  # the engine runs it before its own rules and never changes it
_DNS = ("-p udp --dport 53 -j RETURN", "-p tcp --dport 53 -j RETURN")


def program(name: str = "iptables") -> str | None:
    """The path of `name`, one of iptables' programs; None where it is not installed."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    return shutil.which(name, path=path)


def chains(instance: str) -> tuple[str, str]:
    """The names, at most 28 characters, of the chains for packets into and through this machine."""
    return f"QUADERNO-{instance}-IN", f"QUADERNO-{instance}-OUT"


def ensure(config: Config) -> None:
    """The rules of this instance are in force, or gone where `servers.firewall` is off.

    Does nothing without iptables, of which `check` warns. Raises HostError when it refuses.
    """
    if not config.servers.firewall:
        remove(config)
    elif program():
        _replace(config, _rules(config, _listed()))


def remove(config: Config) -> None:
    """No rule of this instance is left; none is fine. Raises HostError when iptables refuses."""
    own = chains(config.instance)
    if program() and any(f"-N {name}" in _listed() for name in own):
        _replace(config, [f":{name} - [0:0]" for name in own] + [f"-X {name}" for name in own])


def _rules(config: Config, listed: list[str]) -> list[str]:
    servers, ports = config.servers, config.ports
    into, through = chains(config.instance)
    offered = f"{ports.servers_hub},{ports.servers_s3}"
    forward = _LEFT_TO_OPERATORS if f"-N {_LEFT_TO_OPERATORS}" in listed else "FORWARD"
    return [
        f":{into} - [0:0]",
        f":{through} - [0:0]",
        # Answers to the edge and the hub, which open connections to servers.
        f"-A {into} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
        f"-A {into} -d {servers.gateway} -p tcp -m multiport --dports {offered} -j ACCEPT",
        *(f"-A {into} {rule}" for rule in _DNS),
        f"-A {into} -j REJECT",
        *(f"-A {through} {rule}" for rule in _DNS),
        f"-A {through} -d {LINK_LOCAL} -j REJECT",
        f"-I INPUT -s {servers.network} -j {into}",
        f"-I {forward} -s {servers.network} -j {through}",
    ]


def _replace(config: Config, rules: list[str]) -> None:
    """Put `rules`, which name both chains first, in the place of this instance's, all at once.

    To name a chain is to make or empty it. Jumps to it from elsewhere go before.
    """
    jumps = tuple(f" -j {name}" for name in chains(config.instance))
    ended = [line.replace("-A ", "-D ", 1) for line in _listed() if line.endswith(jumps)]
    lines = ["*filter", *rules[:2], *ended, *rules[2:], "COMMIT", ""]
    _run("iptables-restore", "--wait", "--noflush", text="\n".join(lines))


def _listed() -> list[str]:
    """The filter's rules as commands that would make them."""
    return _run("iptables", "--wait", "--list-rules").splitlines()


def _run(name: str, *arguments: str, text: str = "") -> str:
    command = [program(name) or name, *arguments]
    result = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = " ".join(result.stderr.split())
        raise HostError(
            f"{name} refused the rules that guard this machine from people's servers: {reason}",
            "Mend it, or set `servers.firewall: false` and see docs/operator/security.md",
        )
    return result.stdout
