"""A hub by itself with its edge, on either kind of database; and a PostgreSQL server for it.

Nobody logs in there: the identity provider and the store do not run.
"""

import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml

from quaderno import components, host, init, stack, supervisor
from quaderno import config as quaderno_config
from quaderno.config import Config
from tests.ports import free_ports
from tests.service.running import Service, wait_for

# `:` and `\` have a meaning in PostgreSQL's password files, the others in URLs.
PASSWORD = r"a:colon\a%slash/@" + secrets.token_hex(4)


@dataclass(frozen=True)
class Postgres:
    """A server with a role `hub`, whose password is PASSWORD."""

    port: int
    sockets: Path

    def url(self, database: str) -> str:
        return f"postgresql://hub@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str) -> list[Any]:
        """As its administrator."""
        address = self.url("postgres")
        with closing(psycopg.connect(address, password=PASSWORD, autocommit=True)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Debian's, with a directory of its own that its user reaches."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    directory = Path(tempfile.mkdtemp(prefix="quaderno-test-", dir="/var/lib"))
    shutil.chown(directory, "postgres", "postgres")
    port, password = free_ports(1), directory / "password"
    password.write_text(PASSWORD)
    data = directory / "data"

    def as_postgres(program: str, *arguments: str) -> None:
        identity = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]
        subprocess.run(
            [*identity, programs / program, f"--pgdata={data}", *arguments],
            check=True, cwd=directory, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c fsync=off -k {directory}"
    try:
        as_postgres("initdb", "--username=hub", f"--pwfile={password}", "--auth=scram-sha-256")
        as_postgres("pg_ctl", "start", "--wait", f"--log={directory}/log", f"--options={options}")
        try:
            yield Postgres(port, directory)
        finally:
            as_postgres("pg_ctl", "stop", "--wait", "--mode=immediate")
    finally:
        shutil.rmtree(directory)


class Hub:
    """An instance that runs hub and edge."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.token = ""

    def begin(self) -> None:
        supervisor.start(self.config, ["edge", "hub"])

    def come_up(self) -> None:
        self.begin()
        wait_for(self.answers, 120, "the hub's health")

    def go_down(self) -> None:
        stack.down(self.config, print)

    def answers(self) -> bool:
        return components.healthy(self.config, components.named("hub"))

    def pid(self) -> int:
        found = supervisor.processes(self.config).get("hub")
        return found.pid if found and found.state in ("STARTING", "RUNNING") else 0

    def says(self, text: str) -> bool:
        log = supervisor.log_file(self.config, "hub")
        return log.exists() and text in log.read_text()

    def make_token(self) -> None:
        made = Service(self.config).quaderno("token", "create", "test", "--scope", "admin:users")
        self.token = made.stdout.strip()

    def request(self, method: str, path: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.config.ports.hub}/hub/api{path}"
        headers = {"Authorization": f"token {self.token}"}
        return httpx.request(method, url, headers=headers, timeout=90)

    def people(self) -> list[str]:
        return [
            person["name"] for person in self.request("GET", "/users").raise_for_status().json()
        ]


@contextmanager
def hub_instances() -> Iterator[Callable[..., Hub]]:
    """Makes instances, which do not run yet; at the end nothing is left of them.

    `like` is another one, whose database and secrets it has.
    """
    made: list[Hub] = []
    for user in components.USERS:
        host.ensure_user(user)

    def make(database: str | None = None, password: str = "", like: Hub | None = None) -> Hub:
        directory = Path(tempfile.mkdtemp(prefix="quaderno-test-", dir="/var/lib"))
        directory.chmod(0o711)
        init.write(directory, first_port=free_ports())
        path = directory / "quaderno.yaml"
        data = yaml.safe_load(path.read_text())
        # Another address of the loopback interface in place of the servers' network.
        data["servers"]["network"] = f"127.213.{16 * len(made)}.0/20"
        data["hub"] |= {"database": database, "database_password": password}
        if like:
            data["hub"] = like.config.model_dump(mode="json")["hub"] | {"database": database}
        path.write_text(yaml.safe_dump(data))
        made.append(Hub(quaderno_config.load(directory)))
        return made[-1]

    try:
        yield make
    finally:
        for hub in made:
            hub.go_down()
            shutil.rmtree(hub.config.dir)
