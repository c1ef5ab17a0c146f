"""A hub that is killed while 300 people's servers run, each with a websocket through the edge."""

import os
import signal
import statistics
import time
from collections.abc import Iterator

import httpx

from benchmarks import simulated_servers
from benchmarks.simulated_servers import Websockets
from quaderno import supervisor
from tests.held_engine import engine_of_the_hub
from tests.ports import free_ports
from tests.service.running import Hub, Service, running_service, wait_for

SERVERS = 300
ROUNDS = 3
TARGET = 10.0  # seconds
_SCOPES = ("list:users", "read:users", "read:servers")
# Simulated people are not logged in, for which their servers would be stopped.
_NOBODY_ASKS = {"removal_grace": 24 * 3600}
_PATIENCE = 600  # seconds until the benchmark gives up


def run() -> Iterator[str]:
    """The lines of the report."""
    with running_service(oidc=_NOBODY_ASKS) as service:
        scopes = [argument for scope in _SCOPES for argument in ("--scope", scope)]
        token = service.quaderno("token", "create", "bench", *scopes).stdout.strip()
        hub = Hub(service.config.public_url, token)
        port = free_ports(1)
        alone, _ = _medians([_killed(service, hub, servers=0) for _ in range(ROUNDS)])
        supervisor.stop_component(service.config, "hub")
        simulated_servers.add(service.config, SERVERS, port)
        websockets = Websockets(service.config.public_url, SERVERS, port)
        path = service.config.dir / "engine.sock"
        with (
            simulated_servers.engine(path) as engine,
            engine_of_the_hub(service.config, engine.address),
            websockets.served(),
        ):
            supervisor.restart_component(service.config, "hub")
            wait_for(lambda: _ready(hub) == SERVERS, _PATIENCE, "the simulated servers")
            websockets.connect()
            wait_for(lambda: websockets.open == SERVERS, _PATIENCE, "the websockets")
            rounds = [_killed(service, hub, servers=SERVERS) for _ in range(ROUNDS)]
            supervisor.stop_component(service.config, "hub")
    answers, knows = _medians(rounds)
    yield f"hub killed {ROUNDS} times, medians in seconds until its API answers:"
    yield f"  with {SERVERS} simulated servers {answers:.1f}   without any {alone:.1f}"
    yield f"  until all are looked at {knows:.1f}   websockets dropped {websockets.drops}"
    held = "holds" if answers < TARGET and not websockets.drops else "not"
    yield f"target, the API answers in {TARGET:.0f} s and no websocket is dropped: {held}"


def _medians(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    answers, knows = zip(*rounds, strict=True)
    return statistics.median(answers), statistics.median(knows)


def _killed(service: Service, hub: Hub, servers: int) -> tuple[float, float]:
    """Seconds until its API answers, and until it is sure of all its servers."""
    pid = supervisor.processes(service.config)["hub"].pid
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: _answers(service), _PATIENCE, "the hub's API")
    answers = time.monotonic() - began
    wait_for(lambda: _ready(hub) == servers, _PATIENCE, "all servers")
    return answers, time.monotonic() - began


def _answers(service: Service) -> bool:
    """Asked at the hub itself: through the edge, requests wait for it."""
    url = f"http://127.0.0.1:{service.config.ports.hub}/hub/api/"
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def _ready(hub: Hub) -> int:
    """How many servers the hub says are running; none while it does not answer."""
    found, more = 0, True
    while more:
        answer = hub.request("GET", f"/users?state=ready&offset={found}")
        if not answer.is_success:
            return 0
        found, more = found + len(answer.json()), bool(answer.json())
    return found
