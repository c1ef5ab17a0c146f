"""The process of one component: its identity, its environment, and the lock that proves it runs.

`setpriv` of util-linux gives up what a component does not need (users, groups, capabilities, the
right to gain any) in the same process that becomes the component, so the supervisor's process
number is the component's own.
"""

import fcntl
import grp
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from quaderno.config import Config
from quaderno.errors import ComponentError

# Kept from the caller's environment: how this host reaches the outside, and whom it trusts.
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_KEPT = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "TZ",
)
LOCK_DEADLINE = 15.0


def slice_path(config: Config, component: str) -> Path:
    """The part of the configuration that `component` may read."""
    return config.dir / component / "settings.yaml"


def base_environment(config: Config, source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What any process of ours needs of the environment, and no more.

    Proxies keep their hands off addresses of this machine, whatever `no_proxy` said before.
    """
    path = f"{sys.prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": path, "LANG": "C.UTF-8"}
    environment |= {name: source[name] for name in _KEPT if name in source}
    for name in _PROXIES:
        for spelling in (name, name.upper()):
            if spelling in source:
                environment[spelling] = source[spelling]
    exceptions = (source.get("no_proxy") or source.get("NO_PROXY") or "").split(",")
    exceptions += ["127.0.0.1", "localhost", "::1", config.servers.gateway]
    direct = ",".join(dict.fromkeys(filter(None, exceptions)))
    return environment | {"no_proxy": direct, "NO_PROXY": direct}


def environment(config: Config, component: str) -> dict[str, str]:
    """The environment of `component`; it holds no secret, only where to find them."""
    return base_environment(config) | {
        "HOME": str(config.dir / component),
        "QUADERNO_CONFIG": str(slice_path(config, component)),
    }


def dropped(
    command: list[str], user: str | None, groups: tuple[int, ...] = (), *, low_ports: bool = False
) -> list[str]:
    """`command` as `user` (None: root) with the supplementary `groups` and no way to gain more.

    `low_ports` leaves the one capability to listen below port 1024. Where we are not root, as in
    a container of Kubernetes, there is nothing to give up and `command` is returned as it is.
    """
    if os.geteuid() != 0:
        return command
    prefix = ["setpriv", "--no-new-privs"]
    if user is not None:
        capabilities = "-all,+net_bind_service" if low_ports else "-all"
        kept = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
        prefix += ["--reuid", user, "--regid", user, *kept]
        prefix += ["--inh-caps", capabilities, "--bounding-set", capabilities]
        prefix += ["--ambient-caps", capabilities]
    return [*prefix, "--", *command]


def group_id(name: str) -> int:
    """The number of the group `name`."""
    return grp.getgrnam(name).gr_gid


def call(command: list[str], environment: dict[str, str], text: str | None = None) -> str:
    """Run `command` to its end with `text` on its standard input, and return what it prints.

    Raises ComponentError with the last line it wrote on standard error when it fails. That line is
    an error of ours where the command is one of ours, with its hint on a line of its own.
    """
    result = subprocess.run(
        command, env=environment, input=text or "", capture_output=True, text=True, check=False,
        umask=0o077, cwd="/",
    )  # fmt: skip
    if result.returncode:
        raise _failure(command, result.stderr)
    return result.stdout


def _failure(command: list[str], stderr: str) -> ComponentError:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    hint = lines.pop().removeprefix("hint: ") if lines and lines[-1].startswith("hint: ") else ""
    program = Path(command[command.index("--") + 1] if "--" in command else command[0]).name
    message = lines[-1].removeprefix("error: ") if lines else f"{program} failed without a word"
    return ComponentError(message, hint)


# --- locks: held by a component's process from its start to its end, whoever supervises it


def lock_path(config: Config, component: str) -> Path:
    """In a directory of root's, so that no component can stand in for another."""
    return config.dir / "supervisor" / f"{component}.lock"


def take_lock(config: Config, component: str) -> None:
    """Hold the lock of `component` until this process, or the program it becomes, ends.

    Waits a little for a predecessor's last children; raises ComponentError when they stay. The
    descriptor is read-only and inheritable: the program cannot change what it does not know of.
    """
    path = lock_path(config, component)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_DEADLINE
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            os.close(descriptor)
            pids = ", ".join(map(str, holders(path)))
            raise ComponentError(f"{component} runs already (process {pids})", "quaderno status")
        time.sleep(0.05)
    os.set_inheritable(descriptor, True)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holders(path: Path) -> list[int]:
    """The processes that have the lock file `path` open, ourselves excepted."""
    path = path.resolve()
    processes = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [int(entry.name) for entry in processes if _opens(entry, path)]
    return sorted(pid for pid in found if pid != os.getpid())


def _opens(process: Path, path: Path) -> bool:
    try:
        return any(fd.readlink() == path for fd in (process / "fd").iterdir())
    except OSError:  # it ended, or is not ours to look into
        return False


@contextmanager
def exclusively(config: Config) -> Iterator[None]:
    """Only one `up` or `down` of an instance at a time; raises ComponentError to the second."""
    path = lock_path(config, "stack")
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _try_lock(descriptor):
            raise ComponentError(
                "another `quaderno up` or `quaderno down` is at work here", "Wait for it to end"
            )
        yield
    finally:
        os.close(descriptor)
