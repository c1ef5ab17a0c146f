"""What JupyterLab asks about files that exist only in this server, and about the last one's."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

from quaderno_server import copies, credentials, saving
from quaderno_server.copies import Json, Place
from quaderno_server.credentials import CredentialsError

T = TypeVar("T")

LOOK = 20.0  # seconds
SAVE = 1800.0  # seconds; somebody has asked for it and can see that it goes on
HUB_TIMEOUT = 5.0  # seconds


class Keeping:
    """`environment` is that of the server."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._threads = ThreadPoolExecutor(3, "quaderno-workarea")
        self._told = False

    async def look(self) -> Json:
        """As `copies.look`."""
        await self._show_changes()
        return await self._in_thread(lambda: copies.look(Place.here(self._environment), LOOK))

    async def save(self) -> Json:
        """As `saving.save`, everything."""
        await self._show_changes()
        return await self._in_thread(lambda: saving.save(Place.here(self._environment), None, SAVE))

    async def notice(self) -> Json:
        """What the hub has to say of the last server; once in the life of this one."""
        if self._told:
            return {"notice": None}
        self._told = True
        name = quote(self._environment.get("JUPYTERHUB_SERVER_NAME", ""), safe="")
        try:
            answer = await self._ask_hub(f"workarea/notice?server={name}", "notice", "GET")
        except CredentialsError:
            self._told = False
            return {"notice": None}
        return {"notice": answer.get("notice") if isinstance(answer, dict) else None}

    async def _show_changes(self) -> None:
        """What was deleted elsewhere is no copy, though rclone may still list it for minutes."""
        with contextlib.suppress(CredentialsError):
            await self._ask_hub("storage/refresh", "refresh", "POST")

    async def _ask_hub(self, path: str, what: str, method: str) -> Any:
        ask = functools.partial(credentials.ask, self._environment, path, what, HUB_TIMEOUT, method)
        return await self._in_thread(ask)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
