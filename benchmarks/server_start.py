"""Ten servers one after another, here and on a stock hub, in alternation.

Seconds from the request until JupyterLab's page answers through the proxy. Here that includes
every mount; the stock hub has none.
"""

import statistics
import time
from collections.abc import Iterator

from benchmarks import stock_hub
from tests.service import http_person
from tests.service.running import Hub, running_service, wait_for

ROUNDS = 10
USER = "ada"
_SCOPES = ("servers", "read:users", "access:servers")


def run() -> Iterator[str]:
    """The lines of the report."""
    with running_service() as service:
        servers = service.config.servers
        image = servers.images[0].reference
        peer = stock_hub.running(image, servers.cpu.default, servers.memory.default)
        http_person.log_in(service, USER)
        scopes = [argument for scope in _SCOPES for argument in ("--scope", scope)]
        token = service.quaderno("token", "create", "bench", *scopes).stdout.strip()
        with peer as (stock_url, stock_token):
            ours = Peer(service.config.public_url, token)
            stock = Peer(stock_url, stock_token)
            stock.request("POST", f"/users/{USER}")
            pairs = [(ours.start_and_stop(), stock.start_and_stop()) for _ in range(ROUNDS + 1)]
    # The first pair warms caches on both sides.
    here, there = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
    yield f"server start, {ROUNDS} in alternation, medians in seconds, all mounts made here:"
    yield f"  quaderno {here:.2f}   stock hub {there:.2f}   ratio {here / there:.2f}"


class Peer(Hub):
    """A hub whose servers are started and stopped by the clock."""

    def start_and_stop(self) -> float:
        """Seconds until JupyterLab answers."""
        begin = time.monotonic()
        answer = self.request("POST", f"/users/{USER}/server", json={})
        assert answer.status_code in (201, 202), answer.text
        wait_for(self._lab_answers, 120, "JupyterLab")
        seconds = time.monotonic() - begin
        self.stop(USER)
        return seconds

    def _lab_answers(self) -> bool:
        # Until the route is there the hub answers in the server's place, with a redirect.
        return self.request("GET", f"/../../user/{USER}/api/status").status_code == 200
