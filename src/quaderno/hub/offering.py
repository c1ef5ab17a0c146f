"""What a spawner offers, within the limits of groups and what the machine has; and its waiting for
room, where that is limited."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar

from jupyterhub import orm
from jupyterhub.utils import utcnow

from quaderno.hub import capacity, expectations, gpus, options, start_failures
from quaderno.hub.capacity import Amount, Machine
from quaderno.hub.expectations import StartTimes
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
    _save_state: Any  # its, too

    gpus: tuple[str, ...] = ()  # that this server holds
    _let_in_at = 0.0  # of a monotonic clock

    # What a person's last server had, where that was at another site.
    options_elsewhere: Mapping[str, Any] = MappingProxyType({})
    _machine: ClassVar[Machine] = Machine()
    _waiting: ClassVar[Waiting] = Waiting()
    _gpu_waiting: ClassVar[Waiting] = Waiting(
        start_failures.NO_GPU, capacity.gpus_in_words, " for a GPU"
    )
    _sizes: ClassVar[Sizes] = Sizes()
    _since: ClassVar[datetime] = utcnow(with_tz=False)  # what started before was let in before

    async def get_options_form(self) -> Any:
        """JupyterHub awaits this before it shows the form."""
        await self.look_at_engine()
        return await super().get_options_form()  # type: ignore[misc]

    async def look_at_engine(self) -> None:
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
        gpu = 0 if len(self._gpu_waiting.line) else len(self._free_gpus())
        return capacity.bounds(self.quaderno, self.groups, self._has(), replace(free, gpu=gpu))

    def offered(self, last: Mapping[str, Any], *, suggested: bool) -> Offer:
        """The form's choices, with those of `last` selected where they are possible."""
        bounds, free = self.bounds(), self.free()
        return options.offer(self.quaderno, last, suggested=suggested, bounds=bounds, free=free)

    def size_of(self, reference: str) -> str:
        """Of an image of the catalogue, in words; empty while that is not known."""
        return self._sizes.in_words(reference)

    def expected(self, reference: str) -> str:
        """How long a start from it may take, in a sentence; empty while that is not known."""
        here = self._sizes.here(reference)
        return "" if here is None else self._times.expected(reference, here=here)

    def remember_image(self, image: str) -> None:
        """And how long its start took, once there was room."""
        super().remember_image(image)
        seconds = time.monotonic() - self._let_in_at
        self._times.note(image, seconds, fetched=self.steps.fetched)

    @property
    def _times(self) -> StartTimes:
        return expectations.shared(self.quaderno.dir / "hub")

    def free(self) -> str:
        """What is free on the machine; empty while that is not known."""
        has = self._has()
        if has is None:
            return ""
        by_all = replace(self._taken(), gpu=has.gpu - len(self._free_gpus()))
        waiting = len(self._waiting.line) + len(self._gpu_waiting.line)
        there_is = capacity.whole(self.quaderno, has)
        return capacity.in_words(there_is, by_all, self._taken(of=self.user.id), waiting=waiting)

    async def wait_for_room(self, chosen: ServerOptions) -> None:
        """Return when there is room for this server, which takes it until `give_up_room`.

        Raises StartFailure.
        """
        who, rule = self.orm_spawner.id, self.quaderno.servers.room
        how: dict[str, Any] = {"wait": chosen.wait, "steps": self.steps}
        if chosen.gpu:
            await self._gpu_waiting.let_in(
                who, Amount(0, 0, chosen.gpu), self._gpu_room, rule, **how
            )
            # In the same step: nobody can have taken them meanwhile.
            self.gpus = self._free_gpus()[: chosen.gpu]
            self._save_state()
        await self._waiting.let_in(who, Amount(chosen.cpu, chosen.memory), self._room, rule, **how)
        self._let_in_at = time.monotonic()

    def give_up_room(self) -> None:
        """After every end, for those who wait."""
        self.gpus = ()
        if self.orm_spawner:
            self._waiting.ended(self.orm_spawner.id)
            self._gpu_waiting.ended(self.orm_spawner.id)

    # --- GPUs, for which there is a line of its own: who needs none does not wait for them

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.gpus = tuple(map(str, state.get("gpus", ())))

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        return state | {"gpus": list(self.gpus)} if self.gpus else state

    def _all_gpus(self) -> tuple[str, ...]:
        return gpus.devices(self.quaderno.servers.gpu, self._machine.gpus)

    def _free_gpus(self) -> tuple[str, ...]:
        there_are = self._all_gpus()
        if not there_are:
            return ()
        running = self.db.query(orm.Spawner).filter(orm.Spawner.server_id.isnot(None))
        return gpus.free(there_are, gpus.held(one.state for one in running))

    def _gpu_room(self) -> tuple[Amount, Amount]:
        whole, free = len(self._all_gpus()), len(self._free_gpus())
        return Amount(0, 0, whole), Amount(0, 0, whole - free)

    # --- what there is

    def _has(self) -> Amount | None:
        """The machine; None until its engine has answered."""
        has = self._machine.has
        return replace(has, gpu=len(self._all_gpus())) if has else None

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
