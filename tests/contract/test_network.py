"""What a container on a server's network reaches: tried from a real one, with and without rules.

The world outside, and the metadata service of its cloud, are another network namespace.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from quaderno import config as quaderno_config
from quaderno import firewall, network
from quaderno.config import Config
from quaderno.hub import networks
from quaderno.images.parent import ensure_parent
from quaderno.storage import bridges
from tests.ports import free_network, free_ports
from tests.service.running import wait_for

PORT = 8080  # of services outside
TENTATIVE = 0x40  # not in use yet, RFC 4862, 2 (linux/if_addr.h)
OUTSIDE = """
import selectors, socket, sys
selector = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    selector.register(socket.create_server(("", port)), selectors.EVENT_READ)
print("listening", flush=True)
while True:
    for key, _ in selector.select():
        key.fileobj.accept()[0].close()
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """An instance with its network, and nothing that runs."""
    config = quaderno_config.generate(
        tmp_path_factory.mktemp("state"), first_port=free_ports(), network=free_network()
    )
    network.ensure(config)
    yield config
    firewall.remove(config)
    with docker.APIClient() as client:
        client.remove_network(config.instance)


@pytest.fixture(scope="module")
def container(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Like a person's server: no privileges, a network of its own."""
    engine, name = docker.from_env(), f"{config.instance}-ada"
    log = tmp_path_factory.mktemp("parent")
    image = "debian:bookworm-slim"
    ensure_parent(engine, log / "log", log)
    networks.ensure(
        engine.api, name, config.servers.network, {"quaderno.instance": config.instance}
    )
    found = engine.containers.run(
        image, ["sleep", "1000"], name=name, network=name, detach=True, init=True,
        user="1000:100", cap_drop=["ALL"], security_opt=["no-new-privileges"],
    )  # fmt: skip
    yield found
    found.remove(force=True)
    engine.api.remove_network(name)
    engine.close()


@pytest.fixture(scope="module")
def outside() -> Iterator[tuple[str, str]]:
    """A machine elsewhere and the metadata service; both listen on PORT and 53."""
    name = f"quaderno{os.getpid()}"
    here = f"q{os.getpid()}"
    third = os.getpid() % 250
    link, metadata, other = (f"{net}.{third}" for net in ("198.18.0", "169.254.77", "198.19.0"))
    inside = ["ip", "netns", "exec", name]

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)

    run("ip", "netns", "add", name)
    try:
        run("ip", "link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "address", "add", f"198.18.1.{third}/32", "dev", here)
        run("ip", "link", "set", here, "up")
        run(*inside, "ip", "link", "set", "eth0", "up")
        for address in (link, metadata, other):
            run(*inside, "ip", "address", "add", f"{address}/32", "dev", "eth0")
            run("ip", "route", "add", f"{address}/32", "dev", here)
        run(*inside, "ip", "route", "add", "default", "dev", "eth0")
        command = [*inside, sys.executable, "-c", OUTSIDE, str(PORT), "53"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as services:
            assert services.stdout
            assert services.stdout.readline() == "listening\n"
            yield other, metadata
            services.kill()
    finally:
        run("ip", "netns", "delete", name)


@contextmanager
def listening(*addresses: tuple[str, int]) -> Iterator[None]:
    """The backlog accepts: nobody needs to answer."""
    with ExitStack() as stack:
        for address in addresses:
            stack.enter_context(socket.create_server(address))
        yield


def reaches(container: Any, address: str, port: int) -> bool:
    """Whether the container can connect; who is not refused and gets no answer tries for two
    minutes (tcp(7), tcp_syn_retries)."""
    command = ["timeout", "60", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}"]
    status: int = container.exec_run(command).exit_code
    assert status in (0, 1), f"no answer from {address}:{port}"
    return status == 0


def with_firewall(config: Config, on: bool) -> Config:
    servers = config.servers.model_copy(update={"firewall": on})
    return config.model_copy(update={"servers": servers})


def rules() -> list[str]:
    command = [firewall.program() or "", "--wait", "--list-rules"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def own_rules(config: Config) -> list[str]:
    return [line for line in rules() if f"QUADERNO-{config.instance}-" in line]


def test_servers_reach_two_ports_of_this_machine_and_the_outside(
    config: Config, container: Any, outside: tuple[str, str]
) -> None:
    elsewhere, metadata = outside
    gateway, ports = config.servers.gateway, config.ports
    container.reload()
    (own,) = container.attrs["NetworkSettings"]["Networks"].values()
    allowed = [
        (gateway, ports.servers_hub),
        (gateway, ports.servers_s3),
        (gateway, 53),
        (elsewhere, PORT),
        (elsewhere, 53),
        (metadata, 53),
    ]
    refused = [
        (gateway, ports.hub),
        (own["Gateway"], ports.hub),
        (own["Gateway"], ports.servers_hub),
        (metadata, PORT),
    ]
    here = [address for address in allowed + refused if address[0] in (gateway, own["Gateway"])]
    with listening(*here):
        firewall.ensure(with_firewall(config, False))
        assert {address: reaches(container, *address) for address in allowed + refused} == (
            dict.fromkeys(allowed + refused, True)
        )
        firewall.ensure(config)
        assert {address: reaches(container, *address) for address in allowed + refused} == (
            dict.fromkeys(allowed, True) | dict.fromkeys(refused, False)
        )


def interfaces(network_: str) -> set[str]:
    """The network's bridge on this machine, and what is plugged into it."""
    with docker.APIClient() as client:
        bridge = f"br-{client.inspect_network(network_)['Id'][:12]}"
    return {bridge, *(each.name for each in Path("/sys/class/net", bridge, "brif").iterdir())}


def with_ipv6() -> set[str]:
    """Interfaces that have an address which is in use (proc(5), if_inet6)."""
    lines = Path("/proc/net/if_inet6").read_text().splitlines()
    fields = [line.split() for line in lines]
    return {name for *_, flags, name in fields if not int(flags, 16) & TENTATIVE}


@contextmanager
def connected(name: str, pool: str, labels: dict[str, str]) -> Iterator[set[str]]:
    """Interfaces of a network of `pool` with a container that runs."""
    with closing(docker.from_env()) as engine:
        networks.ensure(engine.api, name, pool, labels)
        found = engine.containers.run(
            "debian:bookworm-slim", ["sleep", "1000"], name=name, network=name, detach=True
        )
        try:
            yield interfaces(name)
        finally:
            found.remove(force=True)
            engine.api.remove_network(name)


def test_no_interface_of_a_servers_network_has_ipv6(config: Config, container: Any) -> None:
    """Neither when it starts, nor when it was there before: a network of somebody else's that
    starts at the same time shows when each would have an address. It keeps its own, although it
    lies among the addresses for servers."""
    pool, labels = config.servers.network, {"quaderno.instance": config.instance}
    before = interfaces(container.name)

    def start() -> None:
        with (
            connected(f"{config.instance}-bob", pool, labels) as own,
            connected(f"{config.instance}-theirs", pool, {}) as theirs,
        ):
            wait_for(lambda: theirs <= with_ipv6(), 60, "the others have addresses")
            assert not (own | before) & with_ipv6()
            assert len(own) == len(before) == 2

    async def run() -> None:
        with bridges.without_ipv6(config):
            await asyncio.to_thread(start)

    asyncio.run(run())


def test_the_edge_and_the_hub_reach_servers(config: Config, container: Any) -> None:
    firewall.ensure(config)
    container.reload()
    (own,) = container.attrs["NetworkSettings"]["Networks"].values()
    program = "use Socket; socket(S,PF_INET,SOCK_STREAM,0); bind(S,sockaddr_in(8888,INADDR_ANY));"
    program += "listen(S,9); while(accept(C,S)){syswrite(C,'hello'); close(C)}"
    container.exec_run(["perl", "-e", program], detach=True)

    def answer() -> bytes:
        try:
            with socket.create_connection((own["IPAddress"], 8888), timeout=20) as connection:
                return connection.recv(5)
        except (ConnectionRefusedError, TimeoutError):
            return b""

    assert wait_for(answer, 60, "the server's answer") == b"hello"


def test_again_changes_nothing_and_other_settings_replace_the_rules(config: Config) -> None:
    """The engine's rules come and go meanwhile, with the networks of others."""
    firewall.ensure(config)
    before = own_rules(config)
    firewall.ensure(config)
    assert own_rules(config) == before
    moved = config.servers.model_copy(update={"network": free_network()})
    firewall.ensure(config.model_copy(update={"servers": moved}))
    assert len(own_rules(config)) == len(before)
    assert not any(config.servers.network in line for line in own_rules(config))


def test_removed_rules_leave_nothing_and_those_of_others_stay(config: Config) -> None:
    firewall.ensure(config)
    neighbour = config.model_copy(update={"instance": config.instance + "x"})
    firewall.ensure(neighbour)
    before = own_rules(neighbour)
    try:
        firewall.remove(config)
        assert own_rules(config) == []
        assert own_rules(neighbour) == before != []
        firewall.remove(config)
    finally:
        firewall.remove(neighbour)
    assert own_rules(neighbour) == []


def test_where_the_engine_leaves_no_chain_to_operators(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firewall, "_LEFT_TO_OPERATORS", "NO-SUCH-CHAIN")
    firewall.ensure(config)
    assert f"-A FORWARD -s {config.servers.network} -j QUADERNO-{config.instance}-OUT" in rules()


def test_without_iptables_nothing_is_done(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    firewall.ensure(config)
    firewall.remove(config)


def test_a_refusal_is_one_line_and_says_what_to_do(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "iptables"
    broken.write_text("#!/bin/sh\necho 'it is\nbroken' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Exception, match=r"iptables refused .*: it is broken") as refusal:
        firewall.ensure(config)
    assert "servers.firewall" in str(refusal.value)
