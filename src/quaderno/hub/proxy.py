"""The hub's side of the edge: its routes, in a file that Traefik watches."""

import os
from typing import Any

from jupyterhub_traefik_proxy.fileprovider import TraefikFileProviderProxy
from jupyterhub_traefik_proxy.traefik_utils import TraefikConfigFileHandler, atomic_writing
from traitlets import observe


class SharedFileHandler(TraefikConfigFileHandler):
    """Leaves the file readable by its group: the edge is another user."""

    def atomic_dump(self, data: dict[str, Any]) -> None:
        with atomic_writing(self.file_path) as file:
            os.fchmod(file.fileno(), 0o640)
            self._dump(data, file)


class EdgeProxy(TraefikFileProviderProxy):
    """Traefik as `quaderno.edge` sets it up; the hub adds its own routes and starts nothing."""

    @observe("dynamic_config_file")
    def _set_dynamic_config_file(self, change: Any) -> None:
        self.dynamic_config_handler = SharedFileHandler(change["new"])
