"""How large the catalogue's images are, and whether they are on this machine: for the form."""

import asyncio
import time
from collections.abc import Collection
from urllib.parse import quote

import httpx
from docker import APIClient
from docker.errors import DockerException

from quaderno.hub import pulling
from quaderno.quantities import say_amount

_WITHIN = 2.0  # seconds for the engine to answer; the form is shown anyway
_KEPT_FOR = 10.0  # seconds


class Sizes:
    """By reference, in bytes; None for an image that is not here. What is unknown is not in it."""

    def __init__(self) -> None:
        self._found: dict[str, int | None] = {}
        self._asked = -_KEPT_FOR

    async def look(self, client: APIClient, references: Collection[str]) -> None:
        """Ask the engine, if it is time. Raises nothing."""
        if time.monotonic() - self._asked < _KEPT_FOR:
            return
        self._asked = time.monotonic()
        found: dict[str, int | None] = {}
        try:
            async with asyncio.timeout(_WITHIN), pulling.connection(client) as engine:
                for reference in references:
                    answer = await engine.get(f"/images/{quote(reference, safe='/:@')}/json")
                    if answer.status_code == httpx.codes.NOT_FOUND:
                        found[reference] = None
                    else:
                        found[reference] = int(answer.raise_for_status().json()["Size"])
        except (TimeoutError, httpx.HTTPError, DockerException, ValueError, KeyError):
            return
        finally:
            self._found = found

    def here(self, reference: str) -> bool | None:
        """Whether it is on this machine; None where that is not known."""
        return self._found[reference] is not None if reference in self._found else None

    def in_words(self, reference: str) -> str:
        """As `1.4 GB, here`; empty where it is not known."""
        if reference not in self._found:
            return ""
        size = self._found[reference]
        if size is None:
            return "not here yet"
        return f"{say_amount(size)}, here"
