"""The real spawner on the real engine, as JupyterHub holds it; the storage agent is a stand-in."""

import asyncio
import io
import json
import socketserver
import struct
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import aclosing, closing, contextmanager
from pathlib import Path
from typing import Any

import docker
from jupyterhub import orm
from jupyterhub.objects import Hub, Server
from jupyterhub.user import User
from traitlets.config import Config as Traits

from quaderno import config as quaderno_config
from quaderno import network
from quaderno.config import Config
from quaderno.hub.spawner_docker import QuadernoDockerSpawner
from quaderno.images.parent import PARENT
from tests.ports import free_network, free_ports
from tests.serving import Quiet, serving

WHO = "ada"
LEAST_MEMORY = 30 * 2**20  # bytes
MANY = 4096  # CPUs: more than any machine has
# A server in Perl, which grows by 200 MB when it is asked for `/grow`.
SERVES = (
    'use IO::Socket::INET; $| = 1; print "serving\\n"; $SIG{TERM} = sub { exit }; $n = 200e6;'
    "$s = IO::Socket::INET->new(LocalPort => 8888, Listen => 5, ReuseAddr => 1);"
    'while ($c = $s->accept) { $x = "x" x $n if <$c> =~ /grow/;'
    'print $c "HTTP/1.0 200 OK\\r\\n\\r\\n{}"; close $c }'
)


class Agent(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Says of everybody that their storage is there, and keeps who uses it."""

    daemon_threads = True

    def __init__(self, socket: Path) -> None:
        super().__init__(str(socket), _Handler)
        self.servers: set[str] = set()  # paths
        self.errors = 0  # as many requests as it answers with one from now on


class _Handler(Quiet):
    server: Agent

    def do_GET(self) -> None:
        if self.command == "PUT":
            self.server.servers.add(self.path)
        elif self.command == "DELETE":
            self.server.servers.discard(self.path)
        used = [{"user": WHO, "servers": [""] if self.server.servers else []}]
        status = 500 if self.server.errors else 200
        self.server.errors = max(0, self.server.errors - 1)
        self.send_json(status, {"state": "READY", "reason": "", "users": used})

    do_PUT = do_POST = do_DELETE = do_GET


class Starts:
    """Starts ada's server again and again, each time with what a hub has kept of her."""

    def __init__(self, config: Config, agent: Agent) -> None:
        self.config, self.agent = config, agent
        self.engine = docker.from_env()
        self.runner = asyncio.Runner()
        self.session = orm.new_session_factory("sqlite:///:memory:")()
        self.session.add(orm.User(name=WHO))
        self.session.commit()
        self.images: list[str] = []

    def spawner(self, name: str = "", **traits: Any) -> Any:
        """Her server as a hub has it that was just started; the first one, or one with a name."""
        settings = Traits()
        settings.QuadernoDockerSpawner.quaderno = self.config
        settings.QuadernoDockerSpawner.remove = True
        settings.QuadernoDockerSpawner.use_internal_ip = True
        for trait, value in traits.items():
            settings.QuadernoDockerSpawner[trait] = value
        hub = Hub(ip="127.0.0.1", port=self.config.ports.hub, base_url="/hub/")
        user = User(
            self.session.query(orm.User).one(),
            {
                "spawner_class": QuadernoDockerSpawner,
                "config": settings,
                "hub": hub,
                "base_url": "/",
            },
            db=self.session,
        )
        return user.get_or_create_spawner(name, name)

    def begin(self, spawner: Any, image: str, **options: Any) -> None:
        """What JupyterHub does before it starts a server."""
        orm_server = orm.Server(base_url=f"/user/{WHO}/")
        self.session.add(orm_server)
        self.session.commit()
        spawner.server = Server(orm_server=orm_server)
        spawner.user_options = {"image": image, **options}
        spawner.api_token = "0123456789abcdef-of-the-hub"

    def start(self, spawner: Any, image: str, **options: Any) -> tuple[str, int]:
        self.begin(spawner, image, **options)
        where: tuple[str, int] = self.runner.run(spawner.start())
        return where

    def end(self, spawner: Any) -> None:
        """What JupyterHub does after every end of a server."""
        spawner.server = None
        self.runner.run(spawner.run_post_stop_hook())
        spawner.orm_spawner.state = spawner.get_state()

    def build(self, command: list[str]) -> str:
        """An image with Debian's perl and `command`; no other test has the same one, which would go
        with it."""
        mine = f"LABEL quaderno-test={self.config.instance}"
        text = f"FROM {PARENT}\n{mine}\nCMD {json.dumps(command)}"
        reference = self._reference()
        self.engine.images.build(fileobj=io.BytesIO(text.encode()), tag=reference, rm=True)
        return reference

    def foreign(self) -> str:
        """An image with a program for another kind of processor than any that Docker runs on."""
        header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 0xFFF0, 1, *[0] * 10)
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            entry = tarfile.TarInfo("lab")
            entry.mode, entry.size = 0o755, len(header)
            tar.addfile(entry, io.BytesIO(header))
        reference = self._reference()
        repository, tag = reference.split(":")
        changes = ['CMD ["/lab"]']
        self.engine.api.import_image_from_data(archive.getvalue(), repository, tag, changes)
        return reference

    def _reference(self) -> str:
        self.images.append(f"quaderno-test/{self.config.instance}:{len(self.images)}")
        return self.images[-1]

    def leftovers(self) -> list[str]:
        """Containers and networks of people's servers."""
        labels: dict[str, Any] = {
            "label": [f"quaderno.instance={self.config.instance}", "quaderno.user"]
        }
        containers = self.engine.containers.list(all=True, filters=labels, ignore_removed=True)
        networks = self.engine.networks.list(filters=labels)
        return (
            sorted(self.agent.servers)
            + [f"container {found.name}" for found in containers]
            + [f"network {found.name}" for found in networks]
        )

    def close(self) -> None:
        for image in self.images:
            self.engine.images.remove(image, force=True)
        self.runner.close()
        self.session.close()
        self.engine.close()


async def known(spawner: Any) -> None:
    """Once the engine has said what the machine has, for which a start waits 2 seconds only."""
    async with asyncio.timeout(60):
        while not spawner.free():
            await spawner.look_at_engine()


async def told(spawner: Any, words: str) -> None:
    """Once the page of the start says so."""
    async with aclosing(spawner.progress()) as events:
        async for event in events:
            if words in event["message"]:
                return


@contextmanager
def running_starts(directory: Path) -> Iterator[Starts]:
    """An instance's network and directories, and the agent; afterwards nothing is left."""
    config = quaderno_config.generate(directory, first_port=free_ports(), network=free_network())
    _change(config)
    network.ensure(config)
    for place in (config.mounts / WHO, config.local / WHO, config.agent_socket.parent):
        place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "--bind", config.mounts, config.mounts], check=True)
    subprocess.run(["mount", "--make-rshared", config.mounts], check=True)
    try:
        with serving(Agent(config.agent_socket)) as agent, closing(Starts(config, agent)) as starts:
            yield starts
            assert starts.leftovers() == []
    finally:
        subprocess.run(["umount", config.mounts], check=True)
        with closing(docker.from_env()) as engine:
            engine.api.remove_network(config.instance)


def _change(config: Config) -> None:
    """As little memory as a server of these tests may have, and CPUs that no machine has."""
    config.servers.memory.choices.append(LEAST_MEMORY)
    config.servers.cpu.choices.append(MANY)
