"""A real instance of the service for tests, and people who use it."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import docker
import httpx
import yaml

from quaderno import config as quaderno_config
from quaderno.config import Config
from tests.ports import free_network, free_ports

T = TypeVar("T")
QUADERNO = str(Path(sys.prefix) / "bin" / "quaderno")
PASSWORDS = {"ada": "an-analytical-engine-1843", "bob": "a-brick-in-the-wall-1979"}


def wait_for(condition: Callable[[], T], seconds: float, what: str) -> T:
    """The first true value of `condition`; fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Component:
    """A line of `quaderno status --json`."""

    name: str
    state: str
    pid: int | None


@dataclass
class Service:
    """One running instance."""

    config: Config

    def quaderno(
        self, *arguments: str, text: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line on this instance."""
        result = subprocess.run(
            [QUADERNO, "--dir", str(self.config.dir), *arguments],
            input=text, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        if check:
            assert result.returncode == 0, f"{arguments}: {result.stdout}\n{result.stderr}"
        return result

    def register(self, name: str, password: str, *options: str) -> str:
        """Add a person as an operator does; their e-mail address."""
        email = f"{name}@example.org"
        self.quaderno(
            "user", "add", name, "--email", email, *options, "--password-stdin",
            text=password + "\n",
        )  # fmt: skip
        return email

    def status(self) -> dict[str, Component]:
        answer = json.loads(self.quaderno("status", "--json", check=False).stdout)
        return {
            entry["name"]: Component(entry["name"], entry["state"], entry["pid"])
            for entry in answer["components"]
        }

    def all_running(self) -> bool:
        return all(component.state == "running" for component in self.status().values())

    def container(self, username: str, server: str = "") -> Any:
        """The container of a user's running server."""
        (found,) = self.containers(username, server)
        return found

    def containers(self, username: str, server: str = "") -> list[Any]:
        """The same; none where it does not run, or not yet."""
        labels = [
            f"quaderno.instance={self.config.instance}",
            f"quaderno.user={username}",
            f"quaderno.server={server}",
        ]
        engine = docker.from_env()
        found: list[Any] = engine.containers.list(filters={"label": labels}, ignore_removed=True)
        return found

    def last_lines(self, count: int) -> str:
        """The end of every component's log."""
        text = ""
        for log in sorted(self.config.logs.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-count:]
            text += f"--- {log.name}\n" + "\n".join(lines) + "\n"
        return text

    def leftovers(self, username: str) -> list[str]:
        """What is on this machine of a person's servers, running or not."""
        labels: dict[str, str | list[str] | bool] = {
            "label": [
                f"quaderno.instance={self.config.instance}",
                f"quaderno.user={username}",
            ]
        }
        engine = docker.from_env()
        # One that goes in the middle of it is not left.
        containers = engine.containers.list(all=True, filters=labels, ignore_removed=True)
        found = [f"container {each.name}" for each in containers]
        found += [f"network {n.name}" for n in engine.networks.list(filters=labels)]
        state = self.agent(f"/users/{username}")
        return found + [f"mounts for server {name!r}" for name in state.get("servers", [])]

    def agent(self, path: str) -> Any:
        """The node agent's answer, asked as root."""
        transport = httpx.HTTPTransport(uds=str(self.config.agent_socket))
        with httpx.Client(transport=transport, base_url="http://agent", timeout=60) as client:
            return client.get(path).json()

    def await_storage(self, username: str) -> None:
        """Wait until a person's files are there: a server that starts waits for them, but not
        for long."""
        path = f"/users/{username}"
        wait_for(lambda: self.agent(path)["state"] == "READY", 60, f"the storage of {username}")

    def inside(self, username: str, code: str, check: bool = True) -> tuple[int, str]:
        """Run Python `code` in a user's container, as the server would."""
        container = self.container(username)
        result = container.exec_run(["python", "-c", code], workdir="/workarea")
        output = result.output.decode()
        if check:
            assert result.exit_code == 0, output
        return result.exit_code, output.strip()

    def holding(self, username: str, secrets: list[str]) -> list[str]:
        """Where in a user's container one of `secrets` is: in any process's environment or
        arguments, or in a file that the user can read."""
        # Backwards, lest this very program be what is found.
        backwards = [secret[::-1] for secret in secrets]
        code = (
            "import glob, json, os\n"
            f"secrets = [s[::-1].encode() for s in {backwards!r}]\n"
            "places = glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline')\n"
            "for top in ('/etc', '/home', '/workarea', '/tmp', '/run', '/var'):\n"
            "    for folder, _, files in os.walk(top):\n"
            "        places += [os.path.join(folder, name) for name in files]\n"
            "found = []\n"
            "for place in places:\n"
            "    try: text = open(place, 'rb').read()\n"
            "    except OSError: continue\n"
            "    found += [place for s in secrets if s in text]\n"
            "assert len(places) > 100\n"
            "print(json.dumps(found))\n"
        )
        found: list[str] = json.loads(self.inside(username, code)[1])
        return found


@contextmanager
def running_service(first_port: int | None = None, **sections: Any) -> Iterator[Service]:
    """Init, up, two people where the identity provider is ours; afterwards down, and nothing is
    left.

    `sections` are settings that differ from those of other tests. The state directory is not
    pytest's: unprivileged components must reach it.
    """
    directory = Path(tempfile.mkdtemp(prefix="quaderno-test-", dir="/var/lib"))
    directory.chmod(0o755)
    command = [QUADERNO, "--dir", str(directory)]
    subprocess.run([*command, "init", "--port", str(first_port or free_ports())], check=True)
    _settle(directory / quaderno_config.CONFIG_FILE, sections)
    service = Service(quaderno_config.load(directory))
    try:
        service.quaderno("up", "--detach")
        for name, password in PASSWORDS.items() if service.config.iam.embedded else ():
            service.register(name, password)
        yield service
    except BaseException:
        sys.stderr.write(service.last_lines(40))
        raise
    finally:
        service.quaderno("down")
        engine = docker.from_env()
        label: dict[str, str | list[str] | bool] = {
            "label": f"quaderno.instance={service.config.instance}"
        }
        assert engine.containers.list(filters=label) == []
        for container in engine.containers.list(all=True, filters=label):
            container.remove(v=True)
        for network in engine.networks.list(filters=label):
            network.remove()
        shutil.rmtree(directory)


def _settle(file: Path, sections: dict[str, Any]) -> None:
    """One audience that the identity provider's tokens have, and one that they have not; little
    patience with pulls, which here come from this machine; and a group with a small quota. The
    network is one that nobody else is about to make."""
    settings = yaml.safe_load(file.read_text())
    settings["servers"]["network"] = free_network()
    settings["servers"]["stall_timeout"] = 5
    settings["store"]["group_quotas"] = {"/small": "8M"}
    settings["oidc"]["audiences"] = ["quaderno", "elsewhere"]
    for name, section in sections.items():
        settings[name] = settings[name] | section if isinstance(section, dict) else section
    file.write_text(yaml.safe_dump(settings))


class Hub:
    """The hub's REST API with a token."""

    def __init__(self, public_url: str, token: str) -> None:
        self._url = f"{public_url}/hub/api"
        self._headers = {"Authorization": f"token {token}"}

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """One request, on a connection of its own: restarts of the edge go unnoticed."""
        return httpx.request(
            method, f"{self._url}{path}", headers=self._headers, timeout=90, **kwargs
        )

    def start(self, username: str, **options: Any) -> None:
        """Start a user's server and wait until it is ready."""
        answer = self.request("POST", f"/users/{username}/server", json=options)
        assert answer.status_code in (201, 202), answer.text
        wait_for(lambda: self.ready(username), 180, f"{username}'s server")

    def servers(self, username: str) -> dict[str, Any]:
        """A user's servers by name, as the hub describes them."""
        servers: dict[str, Any] = self.request("GET", f"/users/{username}").json()["servers"]
        return servers

    def ready(self, username: str) -> bool:
        """Whether a user's default server answers."""
        return bool(self.servers(username).get("", {}).get("ready"))

    def running(self, username: str) -> bool:
        """Whether a user has a default server, in whatever state."""
        return "" in self.servers(username)

    def stop(self, username: str) -> None:
        """Stop a user's server and wait until it is gone."""
        answer = self.request("DELETE", f"/users/{username}/server")
        assert answer.status_code in (202, 204), answer.text
        wait_for(lambda: not self.running(username), 180, f"the stop of {username}'s server")
