"""Each check's finding: its id, what it says, and what to do about it."""

import ipaddress
import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quaderno import checks, firewall, host
from quaderno import network as servers_network
from quaderno.checks import Finding, addresses, database, disk, engine, machine, network
from quaderno.config import Config, Site, generate
from quaderno.errors import HostError
from quaderno.images import host as images_host
from quaderno.storage import description_disk
from tests.ports import free_ports

GB = 10**9


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return generate(tmp_path, first_port=21000)


def found(findings: Iterator[Finding]) -> list[tuple[str, str]]:
    """Ids and levels; every finding must be one line with a hint."""
    result: list[tuple[str, str]] = []
    for finding in findings:
        assert "\n" not in finding.problem
        assert finding.hint
        result.append((finding.id, finding.level))
    return result


def changed(config: Config, section: str, **values: Any) -> Config:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def test_root(config: Config) -> None:
    assert found(machine.check_root(config, uid=0)) == []
    assert found(machine.check_root(config, uid=1000)) == [("not-root", "error")]


def test_engine_that_only_needs_a_start(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    assert found(engine.check_engine(config, answers=True)) == []
    assert found(engine.check_engine(config, answers=False)) == [("engine-missing", "error")]
    (tmp_path / "dockerd").touch(mode=0o755)
    assert found(engine.check_engine(config, answers=False)) == [("engine-stopped", "warning")]


def test_fuse(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "fuse"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found(machine.check_fuse(config, device)) == [
        ("fuse-device", "error"),
        ("fuse-tools", "error"),
    ]
    device.touch()
    (tmp_path / "fusermount3").touch(mode=0o755)
    assert found(machine.check_fuse(config, device)) == []


def test_description_disk(config: Config, tmp_path: Path) -> None:
    device, programs = tmp_path / "loop-control", tmp_path / "programs"
    programs.mkdir()
    warned = [("description-disk", "warning")]
    assert found(disk.check_description_disk(config, device, str(programs))) == warned
    for name in description_disk.PROGRAMS:
        (programs / name).touch(mode=0o755)
    assert found(disk.check_description_disk(config, device, str(programs))) == warned
    device.touch()
    assert found(disk.check_description_disk(config, device, str(programs))) == []


@pytest.mark.parametrize(
    ("free", "finding"),
    [(50 * GB, None), (10 * GB, ("disk-low", "warning")), (4 * GB, ("disk-full", "error"))],
)
def test_disk(config: Config, free: int, finding: tuple[str, str] | None) -> None:
    expected = [] if finding is None else [finding, finding]
    assert found(disk.check_disk(config, free=lambda _: free)) == expected


def test_disk_of_a_directory_that_is_not_there_yet(config: Config) -> None:
    places: list[Path] = []

    def free(path: Path) -> int:
        places.append(path)
        return 50 * GB

    later = config.model_copy(update={"dir": config.dir / "new" / "one"})
    assert found(disk.check_disk(later, free)) == []
    assert places[0] == config.dir


def test_local_quota(config: Config) -> None:
    servers = config.servers.model_copy(update={"local_quota": 2**30})
    wanted = config.model_copy(update={"servers": servers})
    assert found(disk.check_local_quota(config, enforced=False)) == []
    assert found(disk.check_local_quota(wanted, enforced=True)) == []
    assert found(disk.check_local_quota(wanted, enforced=False)) == [("local-quota", "warning")]


def test_memory(config: Config) -> None:
    assert found(machine.check_memory(config, total=8 * GB)) == []
    assert found(machine.check_memory(config, total=GB)) == [
        ("memory-low", "warning"),
        ("memory-offer", "warning"),
    ]


def test_cpu_offer(config: Config) -> None:
    assert found(machine.check_cpu(config, cores=4)) == []
    (finding,) = machine.check_cpu(config, cores=2)
    assert (finding.id, finding.level) == ("cpu-offer", "error")
    assert finding.problem == "servers.cpu.choices offers 4 CPUs, and this machine has 2"


def test_open_files(config: Config) -> None:
    assert found(machine.check_open_files(config, hard=20_000)) == []
    assert found(machine.check_open_files(config, hard=1024)) == [("open-files", "warning")]


def test_firewall(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    off = changed(config, "servers", firewall=False)
    assert found(network.check_firewall(off)) == [("firewall-off", "warning")]
    monkeypatch.setattr(firewall, "program", lambda: "/usr/sbin/iptables")
    assert found(network.check_firewall(config)) == []
    monkeypatch.setattr(firewall, "program", lambda: None)
    assert found(network.check_firewall(config)) == [("firewall-missing", "warning")]


def test_image_builder(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> Path:
        raise HostError("no client builds", "install one")

    monkeypatch.setattr(images_host, "docker_client", none)
    (finding,) = engine.check_image_builder(config)
    assert (finding.id, finding.problem) == ("image-builder", "no client builds")


def test_directory_behind_a_closed_one(config: Config, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    inside = config.model_copy(update={"dir": closed / "state"})
    findings = list(disk.check_reachable(inside))
    assert findings[0].id == "dir-closed"
    assert "keeps the components from" in findings[0].problem


def test_state_directory_that_is_closed_itself() -> None:
    """Not in pytest's directory, which is closed, too."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        config = generate(Path(name))
        (finding,) = disk.check_reachable(config)
        assert (finding.id, finding.level) == ("dir-closed", "error")
        assert finding.problem == f"{name} keeps the components from {name}"
        assert f"chmod o+x {name}" in finding.hint
        config.dir.chmod(0o711)
        assert list(disk.check_reachable(config)) == []


def test_directory_too_long_for_sockets(config: Config) -> None:
    long = config.model_copy(update={"dir": Path("/var/lib") / ("x" * 90)})
    (finding,) = disk.check_reachable(long)
    assert (finding.id, finding.level) == ("dir-long", "error")
    excess = len("/var/lib/" + "x" * 90 + "/agent/api/agent.sock") - 107
    assert f"shorter by {excess} characters" in finding.hint


def test_port_in_use_names_setting_and_program(tmp_path: Path) -> None:
    config = generate(tmp_path, first_port=free_ports())
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_ports(1)))  # which no connection is given
        other.listen()
        busy = changed(config, "ports", hub=other.getsockname()[1])
        (finding,) = network.check_ports(busy)
    assert (finding.id, finding.level) == ("port-in-use", "error")
    assert f"port {busy.ports.hub} (ports.hub) is in use by " in finding.problem
    assert f"(process {os.getpid()})" in finding.problem
    assert found(network.check_ports(busy)) == []


def test_ports_that_outgoing_connections_are_given(config: Config) -> None:
    outgoing = sorted(host.outgoing_ports())[:3]
    there = changed(config, "ports", store=outgoing[0], store_filer=outgoing[2])
    (finding,) = network.check_outgoing_ports(there)
    assert (finding.id, finding.level) == ("port-outgoing", "warning")
    assert f"ports {outgoing[0]} to {outgoing[2]} are given" in finding.problem
    assert found(network.check_outgoing_ports(config)) == []


def test_network_of_somebody_else(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [(ipaddress.IPv4Network("10.213.8.0/24"), "the interface eth1")]
    monkeypatch.setattr(servers_network, "taken", lambda _: taken)
    (finding,) = network.check_network(config)
    assert (finding.id, finding.level) == ("network-overlap", "error")
    assert "10.213.0.0/20 overlaps 10.213.8.0/24 of the interface eth1" in finding.problem


@pytest.mark.parametrize(
    ("public_url", "listen", "ids"),
    [
        ("http://127.0.0.1:21000", "127.0.0.1", []),
        ("http://localhost:21000", "127.0.0.1", []),
        ("https://hub.example.org:21000", "0.0.0.0", []),  # noqa: S104
        ("https://hub.example.org", "127.0.0.1", ["public-url"]),
        ("https://hub.example.org", "0.0.0.0", ["public-port"]),  # noqa: S104
        ("http://hub.example.org:21000", "0.0.0.0", ["no-tls"]),  # noqa: S104
        ("http://127.0.0.1:21000", "::", ["public-url"]),
    ],
)
def test_public_url(config: Config, public_url: str, listen: str, ids: list[str]) -> None:
    there = config.model_copy(update={"public_url": public_url, "listen": listen})
    assert found(addresses.check_public_url(there)) == [(name, "warning") for name in ids]


def test_tls_files(config: Config, tmp_path: Path) -> None:
    (tmp_path / "there.pem").touch()
    tls = {"mode": "files", "certificate": tmp_path / "there.pem", "key": tmp_path / "gone.pem"}
    (finding,) = addresses.check_tls_files(changed(config, "tls", **tls))
    assert (finding.id, finding.level) == ("tls-files", "error")
    assert finding.problem.startswith("tls.key: ")


def site(name: str, address: str) -> Site:
    return Site(name=name, address=address)


def test_secrets_between_sites(config: Config) -> None:
    here = site("here", "http://127.0.0.2:8000")
    safe = changed(config, "sites", members=[here, site("bari", "https://bari.example.org")])
    assert found(addresses.check_sites(config)) == found(addresses.check_sites(safe)) == []
    open_ = changed(config, "sites", members=[here, site("bari", "http://bari.example.org:8000")])
    (finding,) = addresses.check_sites(open_)
    assert (finding.id, finding.level) == ("sites-no-tls", "warning")
    assert "travel unencrypted to http://bari.example.org:8000" in finding.problem


def test_a_copy_of_the_database_before_an_upgrade(config: Config, tmp_path: Path) -> None:
    without, programs = str(tmp_path / "none"), tmp_path / "programs"
    there = changed(config, "hub", database="postgresql://hub@db.example.org/quaderno")
    assert found(database.check_pg_dump(config, without)) == []
    assert found(database.check_pg_dump(there, without)) == [("pg-dump", "warning")]
    programs.mkdir()
    (programs / "pg_dump").touch(mode=0o755)
    assert found(database.check_pg_dump(there, str(programs))) == []


def test_every_check_is_run() -> None:
    modules = (addresses, database, disk, engine, machine, network)
    written = [
        check for each in modules for name, check in vars(each).items() if name[:6] == "check_"
    ]
    assert sorted(map(id, written)) == sorted(map(id, checks.CHECKS))


def test_errors_come_first(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def one(level: Any) -> Any:
        return lambda _: iter([Finding(level, level, "p", "h")])

    monkeypatch.setattr(checks, "CHECKS", (one("warning"), one("error"), one("warning")))
    assert [finding.level for finding in checks.run(config)] == ["error", "warning", "warning"]


def test_a_socket_of_roots_group_is_no_way_for_the_hub(config: Config, tmp_path: Path) -> None:
    socket = tmp_path / "docker.sock"
    assert list(engine.check_engine_group(config, socket)) == []
    socket.touch()
    os.chown(socket, 0, 0)
    assert [found.id for found in engine.check_engine_group(config, socket)] == ["engine-group"]
    os.chown(socket, 0, 4)
    assert list(engine.check_engine_group(config, socket)) == []
