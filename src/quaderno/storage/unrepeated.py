"""The agent's log without the same line over and over.

While the store is away each person's mounts notice it every second or two, for as long as it takes.
"""

import logging
import time
from dataclasses import dataclass

EVERY = 60.0  # seconds between two of the same
REPEATED = {"is_repeated": True}  # `extra` of what may come again and again


@dataclass
class _Said:
    at: float  # monotonic seconds
    since: int = 0  # how often again, unsaid


class Unrepeated(logging.Filter):
    """Lets what is REPEATED through once in EVERY seconds, with how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, _Said] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not hasattr(record, "is_repeated"):
            return True
        line, now = record.getMessage(), time.monotonic()
        said = self._said.get(line)
        if said is not None and now < said.at + EVERY:
            said.since += 1
            return False
        if said is not None and said.since:
            record.msg, record.args = "%s (and %d times before this)", (line, said.since)
        self._said = {each: it for each, it in self._said.items() if now < it.at + 2 * EVERY}
        self._said[line] = _Said(now)
        return True
