"""The hub's side of the edge: its routes, in a file that Traefik watches."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy
from jupyterhub_traefik_proxy.traefik_utils import TraefikConfigFileHandler, atomic_writing
from traitlets import observe

from quaderno.hub import AWAY, PATIENCE
from quaderno.hub.admission import Admission
from quaderno.hub.reconciler import Reconciler

_LOOK_EVERY = 0.02  # seconds


class SharedFileHandler(TraefikConfigFileHandler):
    """Leaves the file readable by its group: the edge is another user.

    Writes it as JSON, which is YAML: of 300 servers, the library's own way takes half a second to
    read, and half of that to write for each server that starts or stops, in the hub's one thread.
    """

    def load(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(Path(self.file_path).read_bytes())
        except ValueError:  # as earlier versions wrote it
            found = super().load()
        return found

    def atomic_dump(self, data: dict[str, Any]) -> None:
        with atomic_writing(self.file_path) as file:
            os.fchmod(file.fileno(), 0o640)
            json.dump(data, file, indent=1)


class EdgeProxy(TraefikFileProviderProxy):
    """Traefik as `quaderno.edge` sets it up; the hub adds its own routes and starts nothing."""

    _asking: asyncio.Task[None] | None = None
    _reconciling: asyncio.Task[None] | None = None
    _remembering: asyncio.Task[None] | None = None

    async def check_routes(self, user_dict: Any, service_dict: Any, routes: Any = None) -> Any:
        """JupyterHub's own look at its routes, the first of which is when it has begun."""
        authenticator = self.app.authenticator
        if self._asking is None:
            admission = Admission(
                authenticator.quaderno.oidc, user_dict, authenticator.refresh_user,
                self._stop_server, self.log,
            )  # fmt: skip
            self._asking = asyncio.create_task(admission.run(), name="admission")
            await self.add_hub_route(self.app.hub)  # as this version has it
        if self._reconciling is None:
            reconciler = Reconciler(authenticator.quaderno, user_dict, self.log)
            self._reconciling = asyncio.create_task(reconciler.run(), name="reconciler")
        if self._remembering is None and authenticator.neighbours:
            remember = authenticator.neighbours.run()
            self._remembering = asyncio.create_task(remember, name="neighbours")
        return await super().check_routes(user_dict, service_dict, routes)

    def _dynamic_config_for_route(self, routespec: str, target: str, data: Any) -> Any:
        """Requests wait for a hub that is being restarted, but not for a server, whose page the
        hub shows while it does not run. A service may itself answer what the edge takes for its
        absence."""
        traefik, jupyterhub = super()._dynamic_config_for_route(routespec, target, data)
        if "user" not in data:
            for router in traefik["http"]["routers"].values():
                router["middlewares"] = [AWAY, PATIENCE] if "hub" in data else [PATIENCE]
        return traefik, jupyterhub

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
