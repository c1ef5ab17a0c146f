"""Brings what is written at the other site's embedded store into this one's: `filer.sync`.

One way, at each site: where it has come to is kept in this store, by SeaweedFS, and what came from
here is not sent back. A site that is away for a while catches up. Each change passes the `gate`, by
which of two versions of one object that were written while the sites were apart both stay.
SeaweedFS's program ends when the other site does not answer at its start, so this one starts it
again, for ever, and says how far behind it is.
"""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tornado import web
from tornado.httpserver import HTTPServer

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.storage import seaweedfs
from quaderno.storage.replication_lag import Lag

if TYPE_CHECKING:
    from quaderno.storage.gate import Gate

NAME = "replication"
_AGAIN_AFTER = 2.0  # seconds
_BUCKETS = "/buckets"


def command(_: Config) -> list[str]:
    """The program; it reads QUADERNO_CONFIG."""
    return [sys.executable, "-m", "quaderno.storage.replication"]


def sync_command(config: Config, gate_port: int) -> list[str]:
    """SeaweedFS's program, which must not outlive ours, and follows changes at `gate_port`."""
    ports = config.ports
    options = {
        "a": f"127.0.0.1:{ports.peer_filer}.{gate_port}",
        "b": f"127.0.0.1:{ports.store_filer}.{ports.store_filer_grpc}",
        "a.path": _BUCKETS,
        "b.path": _BUCKETS,
        # Its volume servers are not to be reached from here.
        "a.filerProxy": "true",
        "b.filerProxy": "true",
        "isActivePassive": "true",
        "metricsIp": "127.0.0.1",
        "metricsPort": str(ports.replication_metrics),
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    program = [seaweedfs.program(), "-logtostderr=true", "filer.sync", *arguments]
    return ["setpriv", "--pdeathsig", "TERM", "--", *program]


class HealthHandler(web.RequestHandler):
    """`GET /health`: how many seconds this store is behind the other, and how many objects wait for
    buckets to take files again, for `quaderno status`."""

    def initialize(self, lag: Lag) -> None:
        self._lag = lag

    async def get(self) -> None:
        await self._lag.look()
        self.write({"behind": self._lag.behind, "owed": self._lag.owed})

    def _log(self) -> None:
        """Not for the log."""


class MetricsHandler(HealthHandler):
    """`GET /metrics`: the same, and SeaweedFS's own, in Prometheus' format."""

    async def get(self) -> None:
        self.set_header("Content-Type", "text/plain; version=0.0.4")
        self.write(await self._lag.exposition())


def prepare(config: Config, user: int, group: int) -> None:
    """Where it keeps what it owes; `user` and `group` are its numbers."""
    home = config.dir / NAME
    home.mkdir(mode=0o700, exist_ok=True)
    os.chown(home, user, group)


async def _run(config: Config) -> None:
    from quaderno.storage.gate import Gate  # it needs gRPC, and whoever asks for a URL does not

    gate = Gate(config)
    lag = Lag(config, lambda: len(gate.owed))
    kwargs = {"lag": lag}
    routes = [(r"/health", HealthHandler, kwargs), (r"/metrics", MetricsHandler, kwargs)]
    HTTPServer(web.Application(routes)).listen(config.ports.replication, "127.0.0.1")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(lag.run())
        tasks.create_task(gate.watch())
        tasks.create_task(_sync(config, gate))


async def _sync(config: Config, gate: "Gate") -> None:
    """SeaweedFS's program, for ever."""
    await gate.open()
    while True:
        process = await asyncio.create_subprocess_exec(*sync_command(config, gate.port))
        await process.wait()
        await asyncio.sleep(_AGAIN_AFTER)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # each request
    asyncio.run(_run(quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))))
