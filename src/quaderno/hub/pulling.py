"""Pulls an image and says how far it is; tries again what may help; gives up what does not move.

Over HTTP of its own to the Docker Engine API, not in a thread of docker-py's: a start that is
cancelled closes the connection at once, upon which the engine abandons the pull.
"""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
from docker import APIClient, auth
from docker.errors import DockerException
from docker.utils import parse_repository_tag

from quaderno.hub import pull_failures
from quaderno.hub.failures import Cause
from quaderno.hub.layers import Layers
from quaderno.hub.progress import Progress

STEP = "image"
# Seconds before the second try, the third and the fourth.
BACK_OFF = (4, 8, 16)
# Seconds between two updates of what people see.
_SAY_EVERY = 0.25
_CONNECT_PATIENCE = 10


class PullError(Exception):
    """One try failed; the message is for the log."""

    def __init__(self, cause: Cause, message: str) -> None:
        super().__init__(message)
        self.cause = cause


async def pull(
    client: APIClient, image: str, steps: Progress, log: Any, *, stall_timeout: float
) -> None:
    """Pull `image` into the engine of `client`, and tell `steps` of it; the step has begun.

    A try that makes no progress for `stall_timeout` seconds fails; one that does may last as long
    as it will. Raises StartFailure when no further try can help, or the last one failed.
    """
    for tried, pause in enumerate((*BACK_OFF, None), start=1):
        try:
            await _Try(client, image, steps, stall_timeout).run()
        except PullError as error:
            cause = error.cause
            if pause is None or not cause.again:
                details = f"pull of {image}: {error}"
                raise cause.failure(details, tries=tried, image=image) from error
            log.warning("Pull of %s, try %d: %s", image, tried, error)
        else:
            return
        steps.begin(STEP, image)
        turn = f"{tried + 1} of {len(BACK_OFF) + 1}"
        steps.note(STEP, f"{cause.says(image=image)}; trying again in {pause} s ({turn})")
        await asyncio.sleep(pause)


def connection(client: APIClient) -> httpx.AsyncClient:
    """To the engine of `client`; waits for its answers for ever."""
    socket = getattr(client.get_adapter(client.base_url), "socket_path", None)
    if socket:
        # Not TLS, for which all CA certificates would be read.
        transport = httpx.AsyncHTTPTransport(uds=socket, verify=False)
    else:
        transport = httpx.AsyncHTTPTransport(verify=_tls(client))
    return httpx.AsyncClient(
        transport=transport,
        base_url=f"{'http://docker' if socket else client.base_url}/v{client.api_version}",
        timeout=httpx.Timeout(None, connect=_CONNECT_PATIENCE),
    )


def _tls(client: APIClient) -> ssl.SSLContext | bool:
    """What DOCKER_TLS_VERIFY and DOCKER_CERT_PATH said, as docker-py keeps it."""
    if not client.base_url.startswith("https:"):
        return False
    authorities = client.verify if isinstance(client.verify, str) else None
    context = ssl.create_default_context(cafile=authorities)
    if client.verify is False:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client.cert:
        context.load_cert_chain(*client.cert)
    return context


class _Try:
    """One request to the engine to pull an image."""

    # Those of this hub. Engines download a few layers at a time, whosever they are, so the queued
    # ones are not stuck while another moves.
    running: set["_Try"] = set()  # noqa: RUF012 - ClassVar reads no better

    def __init__(
        self, client: APIClient, image: str, steps: Progress, stall_timeout: float
    ) -> None:
        self._client = client
        self._image = image
        self._steps = steps
        self._stall_timeout = stall_timeout
        self._limit = asyncio.timeout(stall_timeout)
        self._layers = Layers()
        self._said = 0.0

    async def run(self) -> None:
        """Raises PullError."""
        self.running.add(self)
        try:
            async with self._limit:
                await self._run()
        except TimeoutError as error:
            moved = self._layers.reading()
            cause = pull_failures.STALLED if moved else pull_failures.REGISTRY_SILENT
            raise PullError(cause, f"no progress for {self._stall_timeout:g} s") from error
        except httpx.TransportError as error:
            words = f"connection to the engine: {type(error).__name__} {error}"
            raise PullError(pull_failures.ENGINE_SILENT, words) from error
        finally:
            self.running.discard(self)

    async def _run(self) -> None:
        repository, tag = parse_repository_tag(self._image)
        request = {"fromImage": repository, "tag": tag or "latest"}
        # In a thread: credentials may come from a helper program.
        headers = await asyncio.to_thread(_credentials, self._client, repository)
        async with connection(self._client) as engine:
            answer = engine.stream("POST", "/images/create", params=request, headers=headers)
            async with answer as response:
                await _check(response)
                async for event in _events(response):
                    self._take(event)
            found = await engine.get(f"/images/{quote(self._image, safe='/:@')}/json")
        if found.is_error:
            raise PullError(pull_failures.INTERRUPTED, "the engine ended the pull without an image")

    def _take(self, event: dict[str, Any]) -> None:
        if "error" in event:
            message = (event.get("errorDetail") or {}).get("message") or event["error"]
            raise PullError(pull_failures.cause_of(message), message)
        if self._layers.add(event):
            self._moved()
            self._say()

    def _moved(self) -> None:
        now = asyncio.get_running_loop().time()
        for one in self.running:
            if (one is self or one._layers.queued) and not one._limit.expired():
                one._limit.reschedule(now + one._stall_timeout)

    def _say(self) -> None:
        reading, now = self._layers.reading(), time.monotonic()
        if reading and now - self._said >= _SAY_EVERY:
            self._said = now
            self._steps.update(STEP, reading.text, percent=reading.percent, share=reading.share)


def _credentials(client: APIClient, repository: str) -> dict[str, str]:
    """What the hub's own Docker configuration has for the registry; mostly nothing."""
    try:
        registry, _ = auth.resolve_repository_name(repository)
        header = auth.get_config_header(client, registry)
    except DockerException as error:
        raise PullError(
            pull_failures.cause_of(str(error), HTTPStatus.BAD_REQUEST), str(error)
        ) from error
    if not header:
        return {}
    return {"X-Registry-Auth": header.decode() if isinstance(header, bytes) else header}


async def _check(response: httpx.Response) -> None:
    """Raises PullError unless the engine has begun to pull."""
    if not response.is_error:
        return
    body = await response.aread()
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip()
    status = response.status_code
    raise PullError(pull_failures.cause_of(message, status), f"{status} {message}")


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The engine's events, one JSON object a line."""
    async for line in response.aiter_lines():
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError as error:
            message = f"the engine's answer breaks off: {line[-100:]}"
            raise PullError(pull_failures.INTERRUPTED, message) from error
        if isinstance(event, dict):
            yield event
