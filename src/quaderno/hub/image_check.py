"""Asks the engine about an image of one's own, for the form, the API and the start itself.

The engine talks to the registry, with its own trust and proxies; only to those that
`preflight.may_be_asked`. A registry may count each question as a pull, so that its answer serves
for a minute: the start asks about what the form has just asked about.
"""

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

import httpx
from docker import APIClient, auth
from tornado import web

from quaderno.config import Config
from quaderno.errors import OptionsError
from quaderno.hub import expectations, preflight, pulling
from quaderno.hub.credentials import TooOftenError
from quaderno.hub.failures import StartFailure
from quaderno.hub.inside import ENGINE_ERRORS
from quaderno.hub.preflight import Finding, Platform
from quaderno.hub.rates import Rates
from quaderno.hub.scoped import ScopedHandler

PER_MINUTE = 30  # checks of one person
WITHIN = 6.0  # seconds for somebody who types
WITHIN_AT_START = 3.0  # as long as the form waits for a start before it shows the start page
_KEPT_FOR = 60.0  # seconds
_KEPT = 500  # findings

# Gives what calls the engine, which may have to be asked for its version first.
Client = Callable[[], Awaitable[APIClient]]


class Recent:
    """What registries have said a short time ago."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: dict[str, tuple[float, Finding]] = {}

    def get(self, image: str) -> Finding | None:
        """The finding, unless it is too old."""
        since, finding = self._found.get(image, (-math.inf, None))
        return finding if self._clock() - since < _KEPT_FOR else None

    def put(self, image: str, finding: Finding) -> None:
        """Remember it, and forget the oldest of too many."""
        self._found.pop(image, None)
        self._found[image] = self._clock(), finding
        if len(self._found) > _KEPT:
            del self._found[next(iter(self._found))]


_recent = Recent()


async def check(
    config: Config, client: Client, image: str, within: float, groups: Collection[str] = ()
) -> Finding:
    """What a member of `groups` is told of `image`, in `within` seconds at most; raises nothing."""
    if finding := preflight.allowed(config, image, groups):
        return finding
    try:
        async with asyncio.timeout(within):
            found = await client()
            async with pulling.connection(found) as engine:
                return await _ask(config, found, engine, image)
    except (TimeoutError, httpx.HTTPError, *ENGINE_ERRORS, ValueError, KeyError):
        return preflight.NO_ANSWER


async def require(config: Config, client: Client, image: str, groups: Collection[str] = ()) -> None:
    """Raises StartFailure when a member of `groups` cannot start a server from `image`."""
    finding = await check(config, client, image, WITHIN_AT_START, groups)
    if finding.level == "refused":
        raise StartFailure(finding.message, reason=finding.cause)


async def _ask(config: Config, client: APIClient, engine: httpx.AsyncClient, image: str) -> Finding:
    version = (await engine.get("/version")).raise_for_status().json()
    platform = Platform(version["Os"], version["Arch"])
    name = quote(image, safe="/:@")
    times = expectations.shared(config.dir / "hub")
    local = await engine.get(f"/images/{name}/json")
    if local.is_success:
        return preflight.of_local(image, local.json(), platform, times.expected(image, here=True))
    if not preflight.may_be_asked(config, image):
        return preflight.NOT_ASKED
    if known := _recent.get(image):
        return known
    headers = await asyncio.to_thread(_credentials, client, preflight.registry_of(image))
    answer = await engine.get(f"/distribution/{name}/json", headers=headers)
    finding = _of_answer(image, answer, platform, times.expected(image, here=False))
    if finding != preflight.NO_ANSWER:
        _recent.put(image, finding)
    return finding


def _of_answer(image: str, answer: httpx.Response, platform: Platform, expected: str) -> Finding:
    if answer.is_success:
        return preflight.of_registry(image, answer.json(), platform, expected)
    try:
        message = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.text
    return preflight.of_refusal(image, message, answer.status_code)


def _credentials(client: APIClient, registry: str) -> dict[str, str]:
    """What the hub's own Docker configuration has for the registry, as for a pull."""
    header = auth.get_config_header(client, registry)
    if not header:
        return {}
    return {"X-Registry-Auth": header.decode() if isinstance(header, bytes) else header}


class ImageCheckHandler(ScopedHandler):
    """`POST /hub/api/quaderno/users/{name}/image-check` with `{"image": "<reference>"}`: `level`
    (ok, warning, refused), `message`, `size` (bytes, or null) and `cause`, for who may start their
    servers.
    """

    scope: ClassVar[str] = "servers"
    what: ClassVar[str] = "servers"

    def initialize(self, rates: Rates) -> None:
        self._rates = rates

    async def post(self, username: str) -> None:
        user = self._find(username)
        try:
            image = preflight.wanted(self._body())
        except OptionsError as error:
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, error.message) from error
        if wait := math.ceil(self._rates.wait(self.current_user.name)):
            raise TooOftenError("image checks", wait)
        groups = [group.name for group in user.groups]
        client = user.spawner.engine_client
        finding = await check(self.authenticator.quaderno, client, image, WITHIN, groups)
        self.set_header("Cache-Control", "no-store")
        self.write(asdict(finding))

    def _body(self) -> object:
        try:
            return json.loads(self.request.body)
        except (ValueError, RecursionError) as error:
            raise OptionsError("The body must be JSON.") from error
