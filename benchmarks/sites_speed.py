"""Requests through director and edge against one plain Traefik, in alternation, by wrk.

What is asked for is an answer of a person's JupyterLab, which the plain Traefik has as its only
route, by 16 connections at once.
"""

import os
import re
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from quaderno import traefik
from quaderno.config import Ports
from tests.ports import free_ports
from tests.service import http_person
from tests.service.running import Hub, Service, running_service, wait_for

TARGET = 0.8
CONNECTIONS = 16
_USER = "ada"
_LAB = f"/user/{_USER}/api"
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}  # in milliseconds


@dataclass(frozen=True)
class Load:
    """What wrk found: requests per second, and milliseconds of latency."""

    rate: float
    median: float
    slowest: float  # but for one in a hundred


def run() -> Iterator[str]:
    """The lines of the report."""
    full = os.environ.get("QUADERNO_BENCH") == "full"
    rounds, seconds = (10, 30) if full else (3, 5)
    with _one_of_two_sites() as service, _plain_traefik(service) as plain:
        sides = (f"{service.config.public_url}{_LAB}", f"{plain}{_LAB}")
        found = [(_load(sides[0], seconds), _load(sides[1], seconds)) for _ in range(rounds + 1)]
    # The first pair warms connections and caches on both sides.
    yield from report(found[1:])


def report(pairs: list[tuple[Load, Load]]) -> Iterator[str]:
    """Of loads through director and edge, and through one plain Traefik."""
    ours, plain = (_medians(list(column)) for column in zip(*pairs, strict=True))
    yield f"JupyterLab asked by {CONNECTIONS} connections, {len(pairs)} in alternation, medians:"
    for side, load in (("director and edge", ours), ("one plain Traefik", plain)):
        yield (
            f"  {side}: {load.rate:,.0f} requests/s, latency {load.median:.1f} ms, "
            f"99 of 100 within {load.slowest:.1f} ms"
        )
    ratio = ours.rate / plain.rate
    verdict = "holds" if ratio >= TARGET else "not"
    yield f"target, ratio of the rates {TARGET:g} or more: {verdict}, {ratio:.2f}"


def _medians(loads: list[Load]) -> Load:
    return Load(
        rate=statistics.median(load.rate for load in loads),
        median=statistics.median(load.median for load in loads),
        slowest=statistics.median(load.slowest for load in loads),
    )


def parse(said: str) -> Load:
    """What wrk prints with --latency; raises ValueError where an answer was not a good one."""
    if bad := re.search(r"Non-2xx.*|Socket errors.*", said):
        raise ValueError(bad[0])
    return Load(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", said)[1]),
        median=_milliseconds(r"50%\s+([\d.]+)(us|ms|s)", said),
        slowest=_milliseconds(r"99%\s+([\d.]+)(us|ms|s)", said),
    )


def _milliseconds(pattern: str, said: str) -> float:
    number, unit = _found(pattern, said).groups()
    return float(number) * _UNITS[unit]


def _found(pattern: str, said: str) -> re.Match[str]:
    found = re.search(pattern, said)
    if found is None:
        raise ValueError(f"wrk said: {said}")
    return found


def _load(url: str, seconds: int) -> Load:
    """With the cookie of who belongs to a site."""
    command = ["wrk", "--threads=1", f"--connections={CONNECTIONS}", f"--duration={seconds}s"]
    command += ["--latency", "--header", "Cookie: quaderno-site=here", url]
    return parse(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@contextmanager
def _one_of_two_sites() -> Iterator[Service]:
    """The other is away; a person's server runs here."""
    ports = Ports.from_first(free_ports())
    members = [
        {"name": "here", "address": f"http://127.0.0.1:{ports.web}"},
        {"name": "away", "address": f"http://127.0.0.1:{ports.stores}"},
    ]
    endpoint = f"http://127.0.0.1:{ports.director}"
    sites = {"name": "here", "members": members}
    with running_service(ports.web, public_url=endpoint, sites=sites) as service:
        http_person.log_in(service, _USER)
        scopes = ("--scope", "servers", "--scope", "read:users")
        token = service.quaderno("token", "create", "bench", *scopes).stdout.strip()
        Hub(endpoint, token).start(_USER)
        wait_for(lambda: _answers(f"{endpoint}{_LAB}"), 120, "JupyterLab at the endpoint")
        yield service


@contextmanager
def _plain_traefik(service: Service) -> Iterator[str]:
    """With one route, to the person's server."""
    (network,) = service.container(_USER).attrs["NetworkSettings"]["Networks"].values()
    server = {"loadBalancer": {"servers": [{"url": f"http://{network['IPAddress']}:8888"}]}}
    router = {"entryPoints": ["web"], "rule": "PathPrefix(`/user`)", "service": "server"}
    port = free_ports(1)
    settings: dict[str, Any] = {
        "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
    }
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        routes = {"http": {"routers": {"server": router}, "services": {"server": server}}}
        (home / "routes.yaml").write_text(yaml.safe_dump(routes))
        settings["providers"] = {"file": {"filename": str(home / "routes.yaml")}}
        (home / "traefik.yaml").write_text(yaml.safe_dump(settings))
        with subprocess.Popen(traefik.command(home), stdout=subprocess.DEVNULL) as process:
            try:
                url = f"http://127.0.0.1:{port}"
                wait_for(lambda: _answers(f"{url}{_LAB}"), 60, "the plain Traefik")
                yield url
            finally:
                process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
