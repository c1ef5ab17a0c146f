"""The other sites: asked when somebody comes, and remembered for when they do not answer.

Why it remembers: when a site is lost, the others must know who worked there and with which options.
So all stays are fetched every few seconds and kept in a file of the hub's; what is remembered is
that far behind, and never decides anything about a site that answers.
"""

import asyncio
import json
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from quaderno.config import Site
from quaderno.hub.placement import View
from quaderno.hub.site_api import Here
from quaderno.hub.standing import API, Standing, Stay

_WITHIN = 1.0  # seconds; a person waits
_FETCH_WITHIN = 10.0  # seconds, for everybody's stays
_FETCH_EVERY = 5.0  # seconds

Stays = dict[str, Stay]  # by a person's name
_ANSWER = TypeAdapter(dict[str, Stays])
_FAILURES = (TimeoutError, httpx.HTTPError, ValidationError, ssl.SSLError)


class Neighbours:
    """Of the site that is `here`."""

    def __init__(self, here: Here, log: Any) -> None:
        config = here.config
        self._here, self._peers, self.log = here, config.sites.peers, log
        secret = config.sites.secret.get_secret_value()
        # Not through a proxy of the environment, but with the authorities that it names.
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {secret}"},
            timeout=_FETCH_WITHIN,
            trust_env=False,
            verify=ssl.create_default_context(),
            # A kept connection that the site closes meanwhile would fail the next request.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._file = config.dir / "hub" / "neighbours.json"
        self._remembered = _read(self._file)

    async def view(self, db: Any, username: str, shun: Collection[str] = ()) -> View:
        """All sites, each with the stay of `username`, within a second. Those of `shun` are not
        asked: a director found that they do not answer."""
        asked = [peer for peer in self._peers if peer.name not in shun]
        looks = (self._standing(peer, username) for peer in asked)
        here, found = await asyncio.gather(
            self._here.standing(db, username), asyncio.gather(*looks)
        )
        others = tuple(standing for standing in found if standing)
        answered = {standing.name for standing in others}
        return View(
            here=here,
            others=others,
            silent={
                peer.name: self._remembered.get(peer.name, {}).get(username)
                for peer in self._peers
                if peer.name not in answered
            },
        )

    async def _standing(self, peer: Site, username: str) -> Standing | None:
        """None when there is no answer, whatever the reason: people are let in all the same."""
        try:
            async with asyncio.timeout(_WITHIN):
                answer = await self._client.get(f"{peer.address}{API}", params={"user": username})
            found = Standing.model_validate_json(answer.raise_for_status().content)
        except _FAILURES as error:
            self.log.warning("Site %s does not answer: %s", peer.name, _reason(error))
            return None
        return found if found.name == peer.name else None

    async def run(self) -> None:
        """Remember, for ever."""
        while True:
            await self.fetch()
            await asyncio.sleep(_FETCH_EVERY)

    async def fetch(self) -> None:
        """One look at everybody's stays at all other sites. Raises nothing: what does not answer
        is remembered as it was."""
        before = dict(self._remembered)
        await asyncio.gather(*map(self._fetch, self._peers))
        if self._remembered != before:
            try:
                _write(self._file, self._remembered)
            except OSError as error:
                self.log.warning("%s cannot be written: %s", self._file, error)

    async def _fetch(self, peer: Site) -> None:
        try:
            answer = await self._client.get(f"{peer.address}{API}/people")
            found = _ANSWER.validate_json(answer.raise_for_status().content)
        except _FAILURES:
            return  # whoever comes makes us ask, and say so in the log
        self._remembered[peer.name] = found.get("people", {})


def _reason(error: BaseException) -> str:
    """Without the address, and never a header."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__


def _read(file: Path) -> dict[str, Stays]:
    """Nothing where there is no file of ours: it is written anew."""
    try:
        return _ANSWER.validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return {}


def _write(file: Path, remembered: dict[str, Stays]) -> None:
    new = file.with_suffix(".new")
    new.write_text(json.dumps(_ANSWER.dump_python(remembered)), encoding="utf-8")
    new.replace(file)
