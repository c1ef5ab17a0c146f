"""Somebody at work in an open notebook, all the while that a test does something to the service."""

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import httpx
from botocore.exceptions import BotoCoreError, ClientError
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.service.kernel import Kernel
from tests.service.running import wait_for
from tests.service.s3 import ObjectStore

_COUNTS = """
import itertools, time
for number in itertools.count():
    print(number, flush=True)
    time.sleep(0.05)
"""
# Seconds; more than `agent.write_back`, lest each save put off the upload of the one before.
_BETWEEN_SAVES = 1.5


class Work:
    """A cell that prints numbers for ever, followed through its websocket, and a notebook that is
    saved again and again, a cell longer each time."""

    def __init__(self, kernel: Kernel, notebook: str) -> None:
        self.numbers: list[int] = []
        self.drops = 0
        self.acknowledged = -1  # the last cell of which the server said that it is saved
        self.refusals: list[str] = []
        self._kernel, self._notebook = kernel, notebook
        self._end = threading.Event()
        self._threads = [threading.Thread(target=target) for target in (self._follow, self._save)]

    def __enter__(self) -> Self:
        self._kernel.begin(_COUNTS)
        for thread in self._threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()
        self._kernel.interrupt()

    def goes_on(self) -> None:
        """More is printed and more is saved than before; fails the test when not."""
        printed, saved = len(self.numbers), self.acknowledged
        wait_for(lambda: len(self.numbers) > printed + 5, 60, "more of the cell's output")
        wait_for(lambda: self.acknowledged > saved + 1, 60, "another save")

    def nothing_is_missing(self, store: ObjectStore, bucket: str) -> None:
        """All that was printed has arrived, and what was acknowledged is in the store.

        But for what an edge had in its hands that was killed: one gap for each connection that
        dropped, at most.
        """
        last, numbers, drops = self.acknowledged, list(self.numbers), self.drops
        assert numbers == sorted(set(numbers))
        gaps = [number for before, number in pairwise([-1, *numbers]) if number != before + 1]
        assert len(gaps) <= drops
        wait_for(lambda: self._stored(store, bucket) >= last, 60, f"the upload of cell {last}")

    def _stored(self, store: ObjectStore, bucket: str) -> int:
        try:
            text = store.read(bucket, self._notebook)
        # A store that has just begun does not know all of its volumes yet, and the edge not of it.
        except (BotoCoreError, ClientError):
            return -1
        cells = [int("".join(cell["source"])) for cell in json.loads(text)["cells"]] if text else []
        assert cells == list(range(len(cells)))
        return len(cells) - 1

    # --- two threads

    def _follow(self) -> None:
        while not self._end.is_set():
            try:
                text = self._kernel.printed(within=1)
            except ConnectionClosed:
                self.drops += 1
                self._again(self._kernel.reconnect)
            else:
                self.numbers += map(int, text.split())

    def _again(self, connect: Callable[[], None]) -> None:
        """As JupyterLab does, until it succeeds."""
        while not self._end.wait(0.1):
            with suppress(OSError, WebSocketException):
                connect()
                return

    def _save(self) -> None:
        cell = 0
        while not self._end.wait(_BETWEEN_SAVES):
            try:
                answer = self._kernel.save(self._notebook, _notebook(cell))
            except httpx.TransportError as error:
                self.refusals.append(repr(error))
                continue
            if answer.is_success:
                self.acknowledged = cell
                cell += 1
            else:
                self.refusals.append(f"{answer.status_code} {answer.text}")


def _notebook(last: int) -> dict[str, Any]:
    cells = [
        {"cell_type": "raw", "id": f"cell-{n}", "metadata": {}, "source": str(n)}
        for n in range(last + 1)
    ]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
