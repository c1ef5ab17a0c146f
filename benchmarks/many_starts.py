"""Twenty people start their servers at the same moment, here and on a stock hub, in alternation.

Seconds from each request until the hub says that the server is ready; nobody tries again by hand.
"""

import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import httpx

from benchmarks import stock_hub
from tests.service import http_person
from tests.service.running import Hub, Service, running_service

PEOPLE = 20
ROUNDS = 3
_PASSWORD = "twenty-times-the-same-1"  # noqa: S105
_SCOPES = ("servers", "read:users")


def run(people: int = PEOPLE, rounds: int = ROUNDS) -> Iterator[str]:
    """The lines of the report."""
    names = [f"person-{number}" for number in range(people)]
    with running_service() as service:
        servers = service.config.servers
        image = servers.images[0].reference
        for name in names:
            _come_in(service, name)
        scopes = [argument for scope in _SCOPES for argument in ("--scope", scope)]
        token = service.quaderno("token", "create", "bench", *scopes).stdout.strip()
        peer = stock_hub.running(image, servers.cpu.default, servers.memory.default)
        with peer as (stock_url, stock_token):
            ours, stock = Crowd(service.config.public_url, token), Crowd(stock_url, stock_token)
            for name in names:
                stock.request("POST", f"/users/{name}")
            found = [(ours.starts(names), stock.starts(names)) for _ in range(rounds)]
    yield f"{people} starts at the same moment, {rounds} times in alternation, seconds until ready:"
    columns = [list(chain(*column)) for column in zip(*found, strict=True)]
    for side, all_of_them in zip(("quaderno", "stock hub"), columns, strict=True):
        yield f"  {side}: {_in_words(all_of_them)}"
    here, there = (statistics.median(s for s in column if s is not None) for column in columns)
    ratio = here / there
    yield f"  ratio of the medians {ratio:.2f}"
    yield f"target, no worse than the stock hub: {'holds' if ratio <= 1 else 'not'}"


def _come_in(service: Service, name: str) -> None:
    service.register(name, _PASSWORD)
    http_person.log_in(service, name, _PASSWORD)


def _in_words(found: list[float | None]) -> str:
    ready = [seconds for seconds in found if seconds is not None]
    return (
        f"{len(ready)} of {len(found)} succeeded, median {statistics.median(ready):.2f},"
        f" longest {max(ready):.2f}"
    )


class Crowd(Hub):
    """A hub at which many start at once."""

    def starts(self, names: list[str]) -> list[float | None]:
        """Seconds of each; None for a start that failed. Afterwards no server is left."""
        with ThreadPoolExecutor(len(names)) as pool:
            found = list(pool.map(self._start, names))
            list(pool.map(self.stop, names))
        return found

    def _start(self, name: str) -> float | None:
        begin = time.monotonic()
        answer = self.request("POST", f"/users/{name}/server", json={})
        if answer.status_code not in (201, 202):
            return None
        # Told by the hub: to ask again and again would cost the machine what is measured.
        url = f"{self._url}/users/{name}/server/progress"
        with httpx.stream("GET", url, headers=self._headers, timeout=600) as events:
            for line in events.iter_lines():
                event = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if event.get("ready"):
                    return time.monotonic() - begin
                if event.get("failed"):
                    return None
        return None
