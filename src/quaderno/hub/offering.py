"""What a spawner offers: choices within the limits of groups and what the machine has."""

from collections.abc import Mapping
from typing import Any, ClassVar

from docker import APIClient
from jupyterhub import orm

from quaderno.hub import capacity, options
from quaderno.hub.capacity import Machine
from quaderno.hub.options import Bounds, Offer
from quaderno.hub.recent_images import RemembersImages


class Offers(RemembersImages):
    """Of a spawner on an engine, which all spawners of the hub share."""

    client: APIClient
    db: Any
    user: Any

    _machine: ClassVar[Machine] = Machine()

    async def get_options_form(self) -> Any:
        """JupyterHub awaits this before it shows the form."""
        await self._machine.look(self.client)
        return await super().get_options_form()  # type: ignore[misc]

    def bounds(self) -> Bounds:
        """The most that this person may have."""
        groups = [group.name for group in self.user.groups]
        return capacity.bounds(self.quaderno, groups, self._machine.has)

    def offered(self, last: Mapping[str, Any], *, suggested: bool) -> Offer:
        """The form's choices, with those of `last` selected where they are possible."""
        bounds, free = self.bounds(), self.free()
        return options.offer(self.quaderno, last, suggested=suggested, bounds=bounds, free=free)

    def free(self) -> str:
        """What is free on the machine; empty while that is not known."""
        if self._machine.has is None:
            return ""
        running = orm.Spawner.server_id.isnot(None)
        found = self.db.query(orm.Spawner.user_id, orm.Spawner.user_options).filter(running).all()
        everybodys = [asked or {} for _, asked in found]
        own = [asked or {} for owner, asked in found if owner == self.user.id]
        return capacity.in_words(
            self._machine.has,
            capacity.taken(self.quaderno, everybodys),
            capacity.taken(self.quaderno, own),
        )
