"""Two stores that replicate each other, each with its director and its `replication`."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from quaderno import config as quaderno_config
from quaderno import director, process
from quaderno.config import Config, Ports
from quaderno.storage import replication, replication_lag
from tests.contract.storage_fixtures import Program, Store, eventually
from tests.ports import free_ports

COUNT = len(Ports.model_fields)


@dataclass
class Site:
    """A store with its director and its `replication`."""

    config: Config
    store: Store
    director: Program
    replication: Program
    client: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=20))

    def url(self, path: str) -> str:
        """Of the filer, which asks for no keys."""
        return f"http://127.0.0.1:{self.config.ports.store_filer}/buckets/ada/{path}"

    def write(self, path: str, content: bytes) -> None:
        self.client.put(self.url(path), content=content).raise_for_status()

    def read(self, path: str) -> bytes | None:
        answer = self.client.get(self.url(path))
        return answer.content if answer.is_success else None

    def remove(self, path: str) -> None:
        self.client.delete(self.url(path)).raise_for_status()

    def everything(self, directory: str = "") -> dict[str, bytes | None]:
        """What the bucket holds, by path."""
        answer = self.client.get(self.url(directory), headers={"Accept": "application/json"})
        found: dict[str, bytes | None] = {}
        is_listing = answer.headers.get("Content-Type") == "application/json"
        for entry in (answer.json()["Entries"] or []) if answer.is_success and is_listing else []:
            path = entry["FullPath"].removeprefix("/buckets/ada/")
            if stat.S_ISDIR(_mode(entry["Mode"])):
                found |= self.everything(f"{path}/")
            else:
                found[path] = self.read(path)
        return found

    def behind(self) -> float | None:
        found: float | None = self._health()["behind"]
        return found

    def owed(self) -> int:
        """Objects that wait for a bucket to take files again."""
        return int(self._health()["owed"])

    def _health(self) -> Any:
        return self.client.get(replication_lag.health_url(self.config)).json()


def _mode(mode: int) -> int:
    """As stat(2) has it; Go has a bit of its own for directories (os.FileMode)."""
    return stat.S_IFDIR if mode & 1 << 31 else stat.S_IFREG


def site(directory: Path, name: str, first: int) -> Site:
    ports = {"bari": Ports.from_first(first), "cnaf": Ports.from_first(first + COUNT)}
    own = ports[name]
    home = directory / name
    config = quaderno_config.generate(home, first_port=own.web)
    data = yaml.safe_load(quaderno_config.dump(config))
    members = [
        {
            "name": each,
            "address": f"http://127.0.0.1:{ports[each].web}",
            "store": f"127.0.0.1:{ports[each].stores}",
        }
        for each in ports
    ]
    data["sites"] = {"name": name, "members": members, "secret": "5e" * 32}
    config = quaderno_config.parse(data, home)
    settings = home / "settings.yaml"
    settings.write_text(quaderno_config.dump(config))
    director.prepare(config, os.geteuid(), os.getegid())
    replication.prepare(config, os.geteuid(), os.getegid())
    environment = process.base_environment(config)
    return Site(
        config,
        Store(config),
        Program(director.command(config), environment, home / "director.log"),
        Program(
            replication.command(config),
            environment | {"QUADERNO_CONFIG": str(settings)},
            home / "replication.log",
        ),
    )


@contextmanager
def running_sites(directory: Path) -> Iterator[tuple[Site, Site]]:
    """Both run."""
    first = free_ports(2 * COUNT)
    for name in ("bari", "cnaf"):
        (directory / name).mkdir()
    both = site(directory, "bari", first), site(directory, "cnaf", first)
    try:
        for each in both:
            each.store.start()
            each.director.start()
            each.replication.start()
        yield both
    finally:
        for each in both:
            for program in (each.replication, each.director, each.store):
                program.stop()
            each.client.close()
            shutil.rmtree(each.config.dir)


def both_have(sites: tuple[Site, Site], name: str, content: bytes) -> None:
    """Wait until the object is the same at both; it may be that they are being linked."""
    for each in sites:
        eventually(lambda e=each: e.read(name) == content, 90, f"{name}, everywhere")  # type: ignore[misc]
