"""The supervisor of one machine's components: supervisord, its configuration and its XML-RPC API.

Why supervisord: it has been kept for twenty years, is pure Python from the same lock file, needs
no service manager and so runs wherever Quaderno runs, restarts each component on its own at once,
keeps and rotates their logs, and is asked and told everything through XML-RPC on a unix socket. It
runs as root because the agent does; the components give up root themselves (`quaderno run`).
"""

import configparser
import io
import os
import sys
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from quaderno import process
from quaderno.config import Config
from quaderno.errors import ComponentError

# Supervisord waits one second more before each further try; it never gives up.
_FOR_EVER = 10**9
STOP_SECONDS = 60  # the agent unmounts, the store flushes; then they are killed


@dataclass(frozen=True)
class ProcessInfo:
    """What supervisord says of one component; `start` is in seconds since the epoch."""

    name: str
    state: str
    pid: int
    start: int


def home(config: Config) -> Path:
    """Supervisord's files; root's alone."""
    return config.dir / "supervisor"


def api_socket(config: Config) -> Path:
    """Supervisord's API."""
    return home(config) / "api.sock"


def log_file(config: Config, component: str) -> Path:
    """Everything the component prints."""
    return config.logs / f"{component}.log"


def render(config: Config, components: list[str]) -> str:
    """supervisord.conf for `components`, which start in this order."""
    parser = configparser.RawConfigParser()
    socket = api_socket(config)
    parser["unix_http_server"] = {"file": str(socket), "chmod": "0700"}
    parser["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    parser["supervisord"] = {
        "logfile": str(log_file(config, "supervisor")),
        "logfile_maxbytes": "10MB",
        "logfile_backups": "5",
        "pidfile": str(home(config) / "supervisord.pid"),
        "directory": str(home(config)),
        "umask": "027",
        "nocleanup": "true",
    }
    for priority, name in enumerate(components):
        parser[f"program:{name}"] = _program(config, name, priority)
    for section in parser.values():
        for key, value in section.items():
            section[key] = value.replace("%", "%%")
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def _program(config: Config, name: str, priority: int) -> dict[str, str]:
    quaderno = Path(sys.prefix) / "bin" / "quaderno"
    return {
        "command": f'"{quaderno}" run {name} --dir "{config.dir}"',
        "priority": str(priority),
        "autorestart": "true",
        "startsecs": "1",
        "startretries": str(_FOR_EVER),
        "stopasgroup": "true",
        "killasgroup": "true",
        "stopwaitsecs": str(STOP_SECONDS),
        "redirect_stderr": "true",
        "stdout_logfile": str(log_file(config, name)),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": "5",
    }


def start(config: Config, components: list[str]) -> None:
    """Start supervisord, which starts `components`; raises ComponentError when it does not."""
    for directory, mode in ((home(config), 0o700), (config.logs, 0o750)):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(mode)
    path = home(config) / "supervisord.conf"
    path.write_text(render(config, components), encoding="utf-8")
    path.chmod(0o600)
    program = str(Path(sys.prefix) / "bin" / "supervisord")
    process.call([program, "-c", str(path)], process.base_environment(config))


@contextmanager
def _api(config: Config) -> Iterator[Any]:
    """Supervisord's API; raises ComponentError when it does not answer or refuses."""
    transport = SupervisorTransport(None, None, f"unix://{api_socket(config)}")
    try:
        # The address is for form's sake: the transport knows the socket.
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            yield proxy.supervisor
    except OSError as error:
        raise ComponentError("the supervisor does not run", "Start it with: quaderno up") from error
    except xmlrpc.client.Error as error:
        raise ComponentError(f"the supervisor refused: {error}", "quaderno status") from error
    finally:
        transport.close()


def processes(config: Config) -> dict[str, ProcessInfo]:
    """Supervisord's view of each component; empty when supervisord does not run."""
    try:
        with _api(config) as api:
            found = api.getAllProcessInfo()
    except ComponentError:
        return {}
    return {
        p["name"]: ProcessInfo(p["name"], p["statename"], int(p["pid"]), int(p["start"]))
        for p in found
    }


def running(config: Config) -> bool:
    """Whether supervisord runs."""
    return bool(processes(config))


def stop_component(config: Config, name: str) -> None:
    """Stop one component and wait until it has ended; a stopped one is fine."""
    if processes(config)[name].state not in ("STOPPED", "EXITED", "FATAL"):
        with _api(config) as api:
            api.stopProcess(name, True)


def restart_component(config: Config, name: str) -> None:
    """Stop one component and start it again, without waiting until it is healthy."""
    stop_component(config, name)
    with _api(config) as api:
        api.startProcess(name, False)


def shutdown(config: Config) -> None:
    """Ask supervisord to stop everything and end; it answers before that is done."""
    with _api(config) as api:
        api.shutdown()


def daemon_pid(config: Config) -> int | None:
    """The number of supervisord's process; None when it does not run."""
    try:
        with _api(config) as api:
            return int(api.getPID())
    except ComponentError:
        return None


def last_lines(config: Config, component: str, count: int = 8) -> list[str]:
    """The end of a component's log."""
    try:
        with log_file(config, component).open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-count:]
