"""What a spawner offers, within the limits of groups and what the machine has; and its waiting for
room, where that is limited."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar

from jupyterhub import orm
from jupyterhub.utils import utcnow

from quaderno.hub import capacity, options
from quaderno.hub.capacity import Amount, Machine
from quaderno.hub.image_sizes import Sizes
from quaderno.hub.inside import ENGINE_ERRORS
from quaderno.hub.options import Bounds, Offer, ServerOptions
from quaderno.hub.progress import Progress
from quaderno.hub.recent_images import RemembersImages
from quaderno.hub.waiting import Waiting

_WITHIN = 2.0  # seconds for the engine to say its version, which it is asked for once


class Offers(RemembersImages):
    """Of a spawner on an engine, which all spawners of the hub share."""

    engine_client: Any  # a method, of the spawner that looks after files
    db: Any
    user: Any
    orm_spawner: Any
    steps: Progress

    # What a person's last server had, where that was at another site.
    options_elsewhere: Mapping[str, Any] = MappingProxyType({})
    _machine: ClassVar[Machine] = Machine()
    _waiting: ClassVar[Waiting] = Waiting()
    _sizes: ClassVar[Sizes] = Sizes()
    _since: ClassVar[datetime] = utcnow(with_tz=False)  # what started before was let in before

    async def get_options_form(self) -> Any:
        """JupyterHub awaits this before it shows the form."""
        await self._look_at_engine()
        return await super().get_options_form()  # type: ignore[misc]

    async def _look_at_engine(self) -> None:
        """Raises nothing: an engine that does not answer keeps nobody from the form."""
        with suppress(TimeoutError, *ENGINE_ERRORS):
            async with asyncio.timeout(_WITHIN):
                client = await self.engine_client()
            references = [image.reference for image in self.quaderno.servers.images]
            await asyncio.gather(self._machine.look(client), self._sizes.look(client, references))

    @property
    def groups(self) -> list[str]:
        """The names of this person's groups."""
        return [group.name for group in self.user.groups]

    def chosen_last(self) -> Mapping[str, Any]:
        """The options of the person's last server, wherever that was."""
        return self.options_elsewhere or self.orm_spawner.user_options or {}

    def bounds(self) -> Bounds:
        """The most that this person may have."""
        room, taken = self._room()
        free = Amount(0, 0) if len(self._waiting.line) else room - taken
        return capacity.bounds(self.quaderno, self.groups, self._machine.has, free)

    def offered(self, last: Mapping[str, Any], *, suggested: bool) -> Offer:
        """The form's choices, with those of `last` selected where they are possible."""
        bounds, free = self.bounds(), self.free()
        return options.offer(self.quaderno, last, suggested=suggested, bounds=bounds, free=free)

    def size_of(self, reference: str) -> str:
        """Of an image of the catalogue, in words; empty while that is not known."""
        return self._sizes.in_words(reference)

    def free(self) -> str:
        """What is free on the machine; empty while that is not known."""
        if self._machine.has is None:
            return ""
        return capacity.in_words(
            self._machine.has,
            self._taken(),
            self._taken(of=self.user.id),
            waiting=len(self._waiting.line),
        )

    async def wait_for_room(self, chosen: ServerOptions) -> None:
        """Return when there is room for this server, which takes it until `give_up_room`.

        Raises StartFailure.
        """
        await self._look_at_engine()
        await self._waiting.let_in(
            self.orm_spawner.id,
            Amount(chosen.cpu, chosen.memory),
            self._room,
            self.quaderno.servers.room,
            wait=chosen.wait,
            steps=self.steps,
        )

    def give_up_room(self) -> None:
        """After every end, for those who wait."""
        if self.orm_spawner:
            self._waiting.ended(self.orm_spawner.id)

    def _room(self) -> tuple[Amount, Amount]:
        """What there is room for, and what of it servers have taken."""
        return capacity.room(self.quaderno, self._machine.has), self._taken()

    def _taken(self, of: int | None = None) -> Amount:
        """By all servers, or those of one person: not by those that wait, or have only begun."""
        found = self.db.query(orm.Spawner).filter(orm.Spawner.server_id.isnot(None))
        if of is not None:
            found = found.filter(orm.Spawner.user_id == of)
        return capacity.taken(
            self.quaderno,
            [
                one.user_options or {}
                for one in found
                if self._waiting.counts(one.id) or (one.started and one.started < self._since)
            ],
        )
