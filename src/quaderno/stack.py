"""One machine: what `quaderno up`, `down` and `status` do.

Up goes engine, network, image, users, components, and waits for each to be healthy. It may be run
at any time: what runs and is current is left alone, what changed (settings, or the installed
program) is restarted, and people's servers keep running through all of it. Down goes the other way
and loses nothing: servers end, their uploads drain, then the components stop.
"""

import dataclasses
import importlib.metadata
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil

from quaderno import components, firewall, host, network, process, servers, supervisor
from quaderno.components import Component
from quaderno.config import Config
from quaderno.errors import ComponentError
from quaderno.host import Progress
from quaderno.images import build
from quaderno.storage import description_disk, mount_table, mounts, rclone

HEALTHY_DEADLINE = 120.0  # seconds for each component; the first start makes keys and databases
DRAIN_DEADLINE = 600.0  # seconds for uploads to finish in `down`
DRAIN_STEP = 5.0  # seconds between two lines of progress in it
_LATER = "what is left continues at the next start"


@dataclasses.dataclass(frozen=True)
class Status:
    """One component as `quaderno status` shows it; `since` is ISO 8601 in UTC."""

    name: str
    state: str
    pid: int | None
    since: str | None
    url: str
    version: str


# --- up


def up(config: Config, progress: Progress) -> bool:
    """Everything that `config` embeds runs and is healthy; False when that was so already.

    Raises QuadernoError naming what did not start and what its log says.
    """
    with process.exclusively(config):
        if _current(config):
            firewall.ensure(config)  # others may have emptied the packet filter
            return _renew_certificates(config, progress)
        host.ensure_engine(config.logs / "dockerd.log", progress)
        network.ensure(config)
        firewall.ensure(config)
        _ensure_image(config, progress)
        for user in components.USERS:
            host.ensure_user(user)
        _ensure_started(config, progress)
        for component in components.embedded(config):
            _await_healthy(config, component, progress)
        _initialise_store(config, progress)
    return True


def _renew_certificates(config: Config, progress: Progress) -> bool:
    renewed = components.renew_certificates(config)
    if renewed:
        progress("The renewed certificate is in force")
    return renewed


def _current(config: Config) -> bool:
    """Whether everything runs, is healthy, and is of this configuration and installation."""
    return (
        all(status.state == "running" for status in status(config))
        and not _outdated(config)
        and host.engine_answers()
    )


def _ensure_image(config: Config, progress: Progress) -> None:
    """The base image is there and current, if this catalogue offers it."""
    if any(image.name == "base" for image in config.servers.images):
        build.build_base(config, progress)


def _ensure_started(config: Config, progress: Progress) -> None:
    """The supervisor runs exactly the embedded components, none of them outdated."""
    wanted = [component.name for component in components.embedded(config)]
    running = supervisor.processes(config)
    if running and set(running) != set(wanted):
        _stop_supervisor(config)
        running = {}
    if not running:
        _end_orphans(config, progress)
        progress("Starting " + ", ".join(wanted))
        supervisor.start(config, wanted)
        return
    outdated = _outdated(config)
    for name in wanted:
        if name in outdated or running[name].state not in ("RUNNING", "STARTING"):
            progress(f"Restarting {name}")
            supervisor.restart_component(config, name)


def _outdated(config: Config) -> set[str]:
    """Components that started with other settings, or from an earlier installation."""
    installed = _installed_at()
    started = {p.name: p.start for p in supervisor.processes(config).values()}
    return {
        component.name
        for component in components.embedded(config)
        if started.get(component.name, 0) < installed
        or _text(process.slice_path(config, component.name))
        != components.slice_text(config, component)
    }


def _installed_at() -> float:
    """When this program was installed, in seconds since the epoch."""
    record = importlib.metadata.distribution("quaderno").locate_file(
        f"quaderno-{importlib.metadata.version('quaderno')}.dist-info/RECORD"
    )
    return Path(str(record)).stat().st_mtime


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _end_orphans(config: Config, progress: Progress) -> None:
    """End components that outlived a supervisor that was killed; they hold ports and files."""
    for component in components.COMPONENTS:
        lock = process.lock_path(config, component.name)
        if process.holders(lock):
            progress(f"Stopping {component.name}, left by an earlier supervisor")
            _end(lock, supervisor.STOP_SECONDS)


def _end(lock: Path, seconds: float) -> None:
    """End the processes that hold `lock`: ask, and after `seconds` force."""
    _signal(lock, signal.SIGTERM)
    if not _within(seconds, lambda: not process.holders(lock)):
        _signal(lock, signal.SIGKILL)
        _within(5, lambda: not process.holders(lock))


def _signal(lock: Path, number: signal.Signals) -> None:
    for pid in process.holders(lock):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Whether `condition` comes true within `seconds`; asked often at first, then less."""
    deadline = time.monotonic() + seconds
    pause = 0.02
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
    return True


def _await_healthy(config: Config, component: Component, progress: Progress) -> None:
    progress(f"Waiting for {component.name}")
    if not _within(HEALTHY_DEADLINE, lambda: components.healthy(config, component)):
        log = supervisor.log_file(config, component.name)
        tail = "\n".join("  " + line for line in supervisor.last_lines(config, component.name))
        raise ComponentError(
            f"{component.name} did not become healthy in {HEALTHY_DEADLINE:.0f} s; "
            f"its log ends with:\n{tail or '  (nothing)'}",
            f"The whole log is {log}",
        )


def _initialise_store(config: Config, progress: Progress) -> None:
    if config.store.embedded:
        from quaderno.storage import seaweedfs_buckets

        progress("Preparing the object store")
        seaweedfs_buckets.initialise(config)


# --- down


def down(config: Config, progress: Progress) -> bool:
    """Nothing of this instance runs; False when nothing did.

    People's servers end first, then uploads drain, for at most DRAIN_DEADLINE; what is not yet
    uploaded stays in the agent's cache and continues at the next start. Their rclone runs on.
    """
    with process.exclusively(config):
        supervised = supervisor.processes(config)
        if "edge" in supervised:  # nobody asks the hub for another server from now on
            supervisor.stop_component(config, "edge")
        note = partial(components.hand_over, config, components.named("hub"))
        ended = servers.stop_all(config, note, progress)
        left = [c for c in components.COMPONENTS if _held(config, c)]
        if supervised or left:
            _drain(config, progress)
        if supervised:
            progress("Stopping the components")
            _stop_supervisor(config)
            servers.stop_all(config, note, progress)  # one that was starting all the while
        else:
            _end_orphans(config, progress)
        _unmount(config, progress)
        firewall.remove(config)
    return bool(supervised or left or ended)


def _unmount(config: Config, progress: Progress) -> None:
    """All but the mounts of people whose rclone lives: their files are in use, or not uploaded.

    Without it a mount answers nothing, and what was to be uploaded is in the cache.
    """
    below = [mount.path for mount in mount_table.below(config.mounts)]
    users = {path.relative_to(config.mounts).parts[0] for path in below if path != config.mounts}
    served = {user for user in users if rclone.is_there(mounts.plan(config, user))}
    if dead := sorted(users - served):
        progress(f"Unmounting what no rclone serves any more: {', '.join(dead)}; {_LATER}")
        for user in dead:
            mount_table.unmount_all(config.mounts / user)
    if served:
        progress(f"Still mounted, each by an rclone that runs on: {', '.join(sorted(served))}")
    else:
        mount_table.unmount(config.mounts)
        description_disk.unmount(config)


def _held(config: Config, component: Component) -> bool:
    return bool(process.holders(process.lock_path(config, component.name)))


def _drain(config: Config, progress: Progress) -> None:
    """Wait until all is uploaded, saying who has how many files left.

    The agent answers before the deadline when nothing more can be uploaded: without a person's
    login, or without the store. What is left stays in its cache.
    """
    if not components.healthy(config, components.named("agent")):
        progress(f"The agent does not answer, so nobody waits for uploads; {_LATER}")
        return
    done = threading.Event()
    reports = threading.Thread(target=_report_uploads, args=(config, progress, done), daemon=True)
    reports.start()
    try:
        answer = _ask_agent(config, "POST", "/drain", DRAIN_DEADLINE, {"deadline": DRAIN_DEADLINE})
    finally:
        done.set()
        reports.join()
    if answer is None:
        progress(f"The agent has stopped answering; {_LATER}")
    elif answer["pending"]:
        progress(f"Not uploaded: {_pending_text(answer['pending'])}; {_LATER}")


def _report_uploads(config: Config, progress: Progress, done: threading.Event) -> None:
    """Who has how many files left, every now and then until `done`."""
    while not done.wait(DRAIN_STEP):
        answer = _ask_agent(config, "GET", "/users", 0)
        if answer and answer["users"] and not done.is_set():
            progress("Finishing uploads: " + _pending_text(answer["users"]))


def _ask_agent(
    config: Config, method: str, path: str, seconds: float, body: Any = None
) -> dict[str, Any] | None:
    """The agent's answer, for which it may take so many seconds; None when there is none."""
    if not config.agent_socket.exists():
        return None
    transport = httpx.HTTPTransport(uds=str(config.agent_socket))
    with httpx.Client(transport=transport, timeout=seconds + 20, trust_env=False) as client:
        try:
            answer = client.request(method, f"http://agent{path}", json=body)
            found: dict[str, Any] = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError):
            return None
        return found


def _pending_text(pending: list[dict[str, Any]]) -> str:
    """As `ada (3 files: nobody is logged in)`."""
    return ", ".join(
        f"{user['user']} ({user['pending']['files']} files{_because(user)})" for user in pending
    )


def _because(user: dict[str, Any]) -> str:
    reason = "" if user["state"] == "DRAINING" else user["reason"].rstrip(".")
    return f": {reason}" if reason else ""


def _stop_supervisor(config: Config) -> None:
    """The supervisor and every component have ended; what does not in time is killed."""
    pid = supervisor.daemon_pid(config)
    supervisor.shutdown(config)
    if pid and not _within(supervisor.STOP_SECONDS + 15, lambda: _ended(pid)):
        raise ComponentError(f"the supervisor (process {pid}) does not end", f"kill -9 {pid}")
    for component in components.COMPONENTS:
        _end(process.lock_path(config, component.name), 5)


def _ended(pid: int) -> bool:
    """Also when nobody asks for its exit status, as in a container without an init."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# --- status


def status(config: Config) -> list[Status]:
    """Every embedded component: `running` means that it is healthy."""
    processes = supervisor.processes(config)
    wanted = components.embedded(config)
    with ThreadPoolExecutor(len(wanted)) as pool:
        return list(pool.map(lambda c: _status(config, c, processes.get(c.name)), wanted))


def storage(config: Config) -> list[dict[str, Any]] | None:
    """Everybody's storage that is mounted or ought to be, as the agent describes it; None when
    it does not answer."""
    answer = _ask_agent(config, "GET", "/users", 0)
    return None if answer is None else list(answer["users"])


def storage_warnings(config: Config) -> list[str]:
    """What the agent has to say about this node's disks; nothing when it does not answer."""
    answer = _ask_agent(config, "GET", "/health", 0)
    return [] if answer is None else list(answer["warnings"])


def _status(config: Config, component: Component, found: supervisor.ProcessInfo | None) -> Status:
    return Status(
        name=component.name,
        state=_state(config, component, found),
        pid=found.pid or None if found else None,
        since=_iso(found.start) if found and found.pid else None,
        url=component.url(config),
        version=component.version,
    )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _state(config: Config, component: Component, found: supervisor.ProcessInfo | None) -> str:
    """`running`, `starting` (not healthy yet), `failing`, `stopped`, or `orphaned`: alive but
    without its supervisor."""
    if found is None:
        return "orphaned" if _held(config, component) else "stopped"
    if found.state in ("RUNNING", "STARTING"):
        return "running" if components.healthy(config, component) else "starting"
    return "failing" if found.state in ("BACKOFF", "FATAL") else "stopped"
