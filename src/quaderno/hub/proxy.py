"""The hub's side of the edge: its routes, in a file that Traefik watches."""

import asyncio
import os
import time
from typing import Any

from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy
from jupyterhub_traefik_proxy.traefik_utils import TraefikConfigFileHandler, atomic_writing
from traitlets import observe

_LOOK_EVERY = 0.02  # seconds


class SharedFileHandler(TraefikConfigFileHandler):
    """Leaves the file readable by its group: the edge is another user."""

    def atomic_dump(self, data: dict[str, Any]) -> None:
        with atomic_writing(self.file_path) as file:
            os.fchmod(file.fileno(), 0o640)
            self._dump(data, file)


class EdgeProxy(TraefikFileProviderProxy):
    """Traefik as `quaderno.edge` sets it up; the hub adds its own routes and starts nothing."""

    async def _wait_for_route(self, routespec: str) -> None:
        """Wait until Traefik has the route, which takes some hundredths of a second.

        The library looks again after a fifth of a second and more, at the end of each start.
        """
        deadline = time.monotonic() + self.check_route_timeout
        for kind in ("service", "router"):
            while not await self._check_for_traefik_service(routespec, kind):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"Traefik did not take the route {routespec}")
                await asyncio.sleep(_LOOK_EVERY)

    @observe("dynamic_config_file")
    def _set_dynamic_config_file(self, change: Any) -> None:
        self.dynamic_config_handler = SharedFileHandler(change["new"])
