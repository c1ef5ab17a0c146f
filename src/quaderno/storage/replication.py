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
import time
from http import HTTPStatus
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families
from tornado import web
from tornado.httpserver import HTTPServer

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.storage import seaweedfs
from quaderno.storage.gate import Gate

NAME = "replication"
_AGAIN_AFTER = 2.0  # seconds
_OFFSET = "SeaweedFS_filerSync_sync_offset"  # nanoseconds since the epoch, of the source's clock
_BUCKETS = "/buckets"


def command(_: Config) -> list[str]:
    """The program; it reads QUADERNO_CONFIG."""
    return [sys.executable, "-m", "quaderno.storage.replication"]


def health_url(config: Config) -> str:
    """Answers 200 while the program runs, whether or not the other site answers."""
    return f"http://127.0.0.1:{config.ports.replication}/health"


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


async def behind(config: Config, client: httpx.AsyncClient) -> float | None:
    """Seconds; None when nothing has come from the other site since SeaweedFS's program began."""
    try:
        answer = await client.get(f"http://127.0.0.1:{config.ports.replication_metrics}/metrics")
    except httpx.HTTPError:
        return None
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name == _OFFSET and sample.value:
                return max(0.0, time.time() - sample.value / 1e9)
    return None


class HealthHandler(web.RequestHandler):
    """`GET /health`: how many seconds this store is behind the other, for `quaderno site list`."""

    def initialize(self, config: Config, client: httpx.AsyncClient) -> None:
        self._config, self._client = config, client

    async def get(self) -> None:
        self.write({"behind": await behind(self._config, self._client)})

    def _log(self) -> None:
        """Not for the log."""


class MetricsHandler(HealthHandler):
    """`GET /metrics`: SeaweedFS's own, in Prometheus' format."""

    async def get(self) -> None:
        port = self._config.ports.replication_metrics
        try:
            answer = await self._client.get(f"http://127.0.0.1:{port}/metrics")
        except httpx.HTTPError as error:
            raise web.HTTPError(HTTPStatus.SERVICE_UNAVAILABLE) from error
        self.set_header("Content-Type", "text/plain; version=0.0.4")
        self.write(answer.text)


async def _run(config: Config) -> None:
    client = httpx.AsyncClient(
        timeout=5, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
    )
    kwargs = {"config": config, "client": client}
    routes = [(r"/health", HealthHandler, kwargs), (r"/metrics", MetricsHandler, kwargs)]
    HTTPServer(web.Application(routes)).listen(config.ports.replication, "127.0.0.1")
    gate = Gate(config)
    await gate.open()
    while True:
        process = await asyncio.create_subprocess_exec(*sync_command(config, gate.port))
        await process.wait()
        await asyncio.sleep(_AGAIN_AFTER)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # each request
    asyncio.run(_run(quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))))
