"""The hub's side of the edge: its routes, in a file that Traefik watches."""

import asyncio
import os
import time
from typing import Any

from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy
from jupyterhub_traefik_proxy.traefik_utils import TraefikConfigFileHandler, atomic_writing
from traitlets import observe

from quaderno.hub.admission import Admission
from quaderno.hub.reconciler import Reconciler

_LOOK_EVERY = 0.02  # seconds


class SharedFileHandler(TraefikConfigFileHandler):
    """Leaves the file readable by its group: the edge is another user."""

    def atomic_dump(self, data: dict[str, Any]) -> None:
        with atomic_writing(self.file_path) as file:
            os.fchmod(file.fileno(), 0o640)
            self._dump(data, file)


class EdgeProxy(TraefikFileProviderProxy):
    """Traefik as `quaderno.edge` sets it up; the hub adds its own routes and starts nothing."""

    _asking: asyncio.Task[None] | None = None
    _reconciling: asyncio.Task[None] | None = None

    async def check_routes(self, user_dict: Any, service_dict: Any, routes: Any = None) -> Any:
        """JupyterHub's own look at its routes, the first of which is when it has begun."""
        authenticator = self.app.authenticator
        if self._asking is None:
            admission = Admission(
                authenticator.quaderno.oidc, user_dict, authenticator.refresh_user,
                self._stop_server, self.log,
            )  # fmt: skip
            self._asking = asyncio.create_task(admission.run(), name="admission")
        if self._reconciling is None:
            reconciler = Reconciler(authenticator.quaderno, user_dict, self.log)
            self._reconciling = asyncio.create_task(reconciler.run(), name="reconciler")
        return await super().check_routes(user_dict, service_dict, routes)

    async def _stop_server(self, user: Any, name: str) -> None:
        """As JupyterHub does when an administrator asks."""
        await self.delete_user(user, name)
        await user.stop(name)

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
