"""What `quaderno up`, `down` and `status` do when components or their supervisor are killed."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from quaderno import components, host, init, process, stack, supervisor
from quaderno import config as quaderno_config
from quaderno.config import Config
from tests.contract.edge_fixtures import EDGE, edge_instance, edge_pid, running_edge
from tests.ports import free_network, free_ports
from tests.service.running import wait_for


@pytest.fixture(scope="module")
def config() -> Iterator[Config]:
    with edge_instance() as config:
        yield config


@pytest.fixture(scope="module")
def running(config: Config) -> Iterator[Config]:
    with running_edge(config):
        yield config


def alive(program: psutil.Process) -> bool:
    return program.is_running() and program.status() != psutil.STATUS_ZOMBIE


def test_killed_component_is_back_at_once(running: Config) -> None:
    wait_for(lambda: supervisor.processes(running)["edge"].state == "RUNNING", 60, "its state")
    killed = edge_pid(running)
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: edge_pid(running) not in (0, killed), 60, "the restart")
    wait_for(lambda: components.healthy(running, EDGE), 60, "the edge's health")


def test_status_tells_a_healthy_component_from_a_stopped_one(running: Config) -> None:

    def look() -> dict[str, stack.Status]:
        return {status.name: status for status in stack.status(running)}

    wait_for(lambda: look()["edge"].state == "running", 60, "the edge's answer")
    found = look()
    assert found["edge"].pid == edge_pid(running)
    assert (found["hub"].state, found["hub"].pid, found["hub"].since) == ("stopped", None, None)


def test_logs_are_not_for_everybody(running: Config) -> None:
    log = supervisor.log_file(running, "edge")
    assert log.stat().st_mode & 0o777 == 0o640
    assert "Traefik version" in log.read_text()
    assert "Traefik version" in "\n".join(supervisor.last_lines(running, "edge", 1000))


def test_orphans_of_a_killed_supervisor_are_seen_and_ended(running: Config) -> None:
    """The last test of this edge: afterwards nothing runs."""
    orphan = psutil.Process(edge_pid(running))
    daemon = psutil.Process(supervisor.daemon_pid(running))
    assert daemon.name() == "supervisord"
    daemon.kill()
    wait_for(lambda: not alive(daemon), 60, "the supervisor's end")
    assert alive(orphan)
    states = {status.name: status.state for status in stack.status(running)}
    assert states["edge"] == "orphaned"
    assert stack.down(running, print)
    assert not alive(orphan)
    assert not stack.down(running, print)


def test_up_after_a_killed_supervisor_puts_everything_right() -> None:
    """The whole stack, on an instance of its own."""
    directory = Path(tempfile.mkdtemp(prefix="quaderno-test-", dir="/var/lib"))
    directory.chmod(0o711)
    init.write(directory, first_port=free_ports())
    path = directory / "quaderno.yaml"
    data = yaml.safe_load(path.read_text())
    image = {"name": "any", "display_name": "Any", "reference": "debian:bookworm-slim"}
    data["servers"]["images"] = [image]  # none that is built
    data["servers"]["network"] = free_network()
    path.write_text(yaml.safe_dump(data))
    config = quaderno_config.load(directory)
    try:
        assert stack.up(config, print)
        before = {status.name: status.pid for status in stack.status(config)}
        daemon = psutil.Process(supervisor.daemon_pid(config))
        daemon.kill()
        wait_for(lambda: not alive(daemon), 60, "the supervisor's end")
        states = states_of(config)
        # Who writes to the log ends: there is nobody who reads it.
        assert "orphaned" in states
        assert states <= {"orphaned", "stopped"}
        assert stack.up(config, print)
        wait_for(lambda: states_of(config) == {"running"}, 60, "everybody's answer")
        after = {status.name: status for status in stack.status(config)}
        assert all(after[name].pid not in (None, pid) for name, pid in before.items())
        assert not any(pid and psutil.pid_exists(pid) for pid in before.values())
        wait_for(lambda: not stack.up(config, print), 60, "the end of what is left to do")
        assert {name: status.pid for name, status in after.items()} == {
            status.name: status.pid for status in stack.status(config)
        }, "nothing was started again"
        data["servers"]["images"].append({**image, "name": "another"})
        path.write_text(yaml.safe_dump(data))
        config = quaderno_config.load(directory)
        assert stack.up(config, print)
        wait_for(lambda: states_of(config) == {"running"}, 60, "the hub's answer")
        again = {status.name: status.pid for status in stack.status(config)}
        assert {name for name, pid in again.items() if pid != after[name].pid} == {"hub"}
        assert packet_rules(config)
    finally:
        assert stack.down(config, print)
        with host.engine() as client:
            client.remove_network(config.instance)
        shutil.rmtree(directory)
    assert packet_rules(config) == []


def test_a_user_that_another_instance_makes_at_the_same_time_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two instances that start for the first time: here, the other one is always faster."""
    name, useradd = f"quaderno-test-{secrets.token_hex(4)}", shutil.which("useradd")
    (tmp_path / "useradd").write_text(f'#!/bin/sh\n{useradd} "$@"\nexec {useradd} "$@"\n')
    (tmp_path / "useradd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    try:
        host.ensure_user(name)
        assert pwd.getpwnam(name).pw_shell == "/usr/sbin/nologin"
    finally:
        subprocess.run(["userdel", name], check=True)


def states_of(config: Config) -> set[str]:
    return {status.state for status in stack.status(config)}


def packet_rules(config: Config) -> list[str]:
    text = process.call(["iptables", "--wait", "--list-rules"], process.base_environment(config))
    return [line for line in text.splitlines() if f"QUADERNO-{config.instance}-" in line]
