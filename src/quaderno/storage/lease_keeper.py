"""Taking, renewing and giving back the lease on one person's storage.

As long as this node's lease is confirmed, no other can have taken it: whoever wants it waits until
it has not been renewed for as long as it lasts, and after a third of that it counts here as
unconfirmed. Then writing goes on, but no upload begins until the store has said whose the lease is.
Those that had begun have the other two thirds to fail: rclone spaces calls that fail by 2 seconds
each, so they can take half a minute.

Renewing is done on the side: a store that is away keeps nothing waiting.
"""

import asyncio
import contextlib
import json
import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from quaderno.config import Config
from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage import catching_up, durable, leases, uploads
from quaderno.storage.cache import Unsent
from quaderno.storage.keys import HubKeys
from quaderno.storage.leases import Decision, Found, Lease
from quaderno.storage.mounts import MountPlan
from quaderno.storage.objects import Objects
from quaderno.storage.rclone import Rclone
from quaderno.storage.states import State, WaitingError
from quaderno.storage.unrepeated import REPEATED

T = TypeVar("T")
LOG = logging.getLogger("quaderno.agent")
CLEAN_AFTER = 10.0  # seconds without anything unsent, until the lease says so
GUARD_EVERY = 1.0  # seconds
HOLD_EVERY = 0.4  # seconds; less than a closed file waits for its upload (`agent.write_back`)
TRY_LEAST, TRY_MOST = 1.0, 3.0  # seconds between tries while the store is away
RETURN_WITHIN = 5.0  # seconds that an unmount waits until the lease is given back
RETURN_AGAIN = 30.0  # seconds between tries after that
_ID_BYTES = 16
_MOST = 4096  # bytes of a lease that are read
_THREADS = ThreadPoolExecutor(4, "lease")  # of their own: they wait for a store that is away


@dataclass(frozen=True)
class Held:
    """What a node remembers of its lease over restarts; Unix seconds, by the store's clock.

    Until `written` no other node had it. After `disputed` another may have written files, with
    which the changes that are here have not been compared yet. It is the lease of `since`.
    """

    written: float
    disputed: float | None = None
    since: float = 0.0

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """None when the lease was given back; whatever cannot be read may be disputed."""
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
            disputed = fields["disputed"] and float(fields["disputed"])
            return cls(float(fields["written"]), disputed, float(fields.get("since", 0)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return cls(0.0)


class LeaseKeeper:
    """Of one person; `decision` is the last one, `lost` is set when another node has the lease."""

    def __init__(self, config: Config, keys: HubKeys, plan: MountPlan) -> None:
        self.decision, self.lost = Decision(take=True), False
        self._config, self._keys, self._plan = config, keys, plan
        self._trusted = config.agent.lease_time * leases.TRUSTED
        self._node, self._held = node_id(config), Held.load(plan.lease)
        self._returns = self._held is not None  # this node, with what it had before
        self._patient = self._returns  # until somebody asks for it here
        self._object = config.store.scratch_bucket, leases.key(plan.username)
        self._found: Found | None = None
        self._chosen = ""
        self._since = datetime.fromtimestamp(self._held.since if self._held else 0, UTC)
        self._confirmed_at: float | None = None
        self._renew_at, self._wait = 0.0, TRY_LEAST
        self._unsent, self._dirty_at, self._said_dirty = Unsent(0, 0, None), 0.0, False
        self._task: asyncio.Task[None] | None = None

    @property
    def confirmed(self) -> bool:
        """Whether no other node can have the lease, so that files may be sent."""
        since = self._confirmed_at
        return since is not None and time.monotonic() - since < self._trusted

    @property
    def disputed(self) -> float | None:
        """Since when (Unix seconds) another node may have changed what is changed here, too."""
        return self._held.disputed if self._held else None

    def describe(self) -> dict[str, Any] | None:
        """The other node that has the storage, as the API shows it; None when there is none."""
        holder = self.decision.holder
        if self.decision.take or holder is None:
            return None
        return {
            "node": holder.name,
            "since": int(holder.since.timestamp()),
            "renewed": int(holder.renewed.timestamp()),
            "files": holder.files,
            "bytes": holder.size,
            "stale": self.decision.stale,
        }

    def choose(self) -> None:
        """Have a stale lease taken, whatever its node has not sent.

        Raises StorageRefusedError when there is none such.
        """
        if self.decision.take or not self.decision.stale or self._found is None:
            why = leases.explain(self.decision) or "No other node has your storage."
            raise StorageRefusedError(why)
        self._chosen = self._found.etag

    def ask(self) -> None:
        """A server of the person's starts here: they do not wait for a node that may be lost."""
        self._patient = False

    def tell(self, unsent: Unsent) -> None:
        """What is not in the store now; a lease says so at once, and "all is" after a while."""
        if unsent.files:
            self._dirty_at = time.monotonic()
        if unsent.files or time.monotonic() - self._dirty_at >= CLEAN_AFTER:
            self._unsent = unsent

    async def take(self) -> None:
        """Have the lease; before anything is mounted or mended.

        Raises WaitingError when another node has it, StorageError when keys or store are away.
        """
        await self._stop()
        await self._catch_up()
        found = await self._ask(self._look)
        self._found, self.decision = found, self._decide(found)
        if not self.decision.take:
            raise _in_use(leases.explain(self.decision))
        if not self._is_mine(found):
            self._dispute(self.decision.holder)
        follows, now = found.lease if found else None, datetime.now(UTC)
        self._since = leases.since(follows, self._node, self._since, now)
        if not await self._claim(found):
            raise _in_use("Another node has just connected your storage. It is tried again.")
        self.lost, self._chosen, self.decision = False, "", Decision(take=True)

    async def _catch_up(self) -> None:
        """Raises WaitingError while the store lacks what was written at the other site."""
        replicated = self._returns and self._config.sites.replicated
        if replicated and not await catching_up.of(self._config).is_complete():
            raise _in_use(
                "What was saved at the other site is being brought here. Your storage appears when "
                "all of it is."
            )
        self._returns = False

    def settle(self) -> None:
        """What is changed here has been compared with what is in the store. Raises OSError."""
        if self._held and self._held.disputed is not None:
            self._remember(replace(self._held, disputed=None))

    async def guard(self, rclone: Rclone) -> None:
        """As long as rclone is there: renew the lease when that is due, hold back what would be
        sent while it is unconfirmed, and end rclone when it is lost."""
        while not rclone.exited.is_set():
            self._renew_when_due()
            if self.lost:
                await rclone.kill()
            elif not self.confirmed:
                with contextlib.suppress(StorageError):
                    await uploads.hold(rclone, self._plan)
            with contextlib.suppress(TimeoutError):
                every = GUARD_EVERY if self.confirmed else HOLD_EVERY
                await asyncio.wait_for(rclone.exited.wait(), every)

    async def give_back(self) -> None:
        """After all was sent and unmounted. What cannot be done now is done on the side."""
        await self._stop()
        self.decision, self._confirmed_at = Decision(take=True), None
        if self._held is not None:
            self._task = asyncio.create_task(self._give_back_until_done())
            await asyncio.wait({self._task}, timeout=RETURN_WITHIN)

    def detach(self) -> None:
        """Leave the lease as it is."""
        if self._task is not None:
            self._task.cancel()

    # --- on the side

    def _renew_when_due(self) -> None:
        changed = self.confirmed and bool(self._unsent.files) is not self._said_dirty
        due = changed or time.monotonic() >= self._renew_at
        if due and not self.lost and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._renew_or_wait())

    async def _renew_or_wait(self) -> None:
        """Raises nothing: what matters is in `lost` and `confirmed`."""
        try:
            await self._renew()
            self._wait = TRY_LEAST
        except (StorageError, OSError) as error:
            LOG.info("%s: the lease is not renewed: %s", self._plan.username, error, extra=REPEATED)
            self._renew_at = time.monotonic() + self._wait
            self._wait = min(self._wait * 2, TRY_MOST)

    async def _renew(self) -> None:
        found = await self._ask(self._look)
        if not self._is_still_mine(found):
            self._patient = True
            self._found, self.decision = found, self._decide(found)
            self._confirmed_at, self.lost = None, True
            LOG.error("%s: another node has taken the storage", self._plan.username)
        elif not await self._claim(found):
            self._renew_at = 0.0  # it was changed meanwhile; another look tells by whom

    async def _give_back_until_done(self) -> None:
        while True:
            try:
                await self._ask(self._give_back)
                self._plan.lease.unlink(missing_ok=True)
                self._held = None
                return
            except (StorageError, OSError) as error:
                LOG.info("%s: the lease is not given back: %s", self._plan.username, error)
            await asyncio.sleep(RETURN_AGAIN)

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    # --- the object

    async def _claim(self, found: Found | None) -> bool:
        """Write the lease in place of what was found, and see whether that is what is there: a
        store may have ignored the condition. Whether it is ours now."""
        began, lease = time.monotonic(), self._lease()
        seen = await self._ask(lambda objects: self._write(objects, found, lease))
        if seen is None:
            return False
        self._confirmed_at, self._said_dirty = began, bool(lease.files)
        self._renew_at = began + self._config.agent.lease_time / leases.RENEWED_EACH
        self._remember(Held(seen.written, self.disputed, self._since.timestamp()))
        return True

    def _write(self, objects: Objects, found: Found | None, lease: Lease) -> Found | None:
        content, order = lease.text().encode(), {leases.ORDER: lease.order}
        etag = objects.put_if(*self._object, content, found.etag if found else None, order)
        seen = self._look(objects) if etag else None
        return seen if seen and seen.etag == etag else None

    def _look(self, objects: Objects) -> Found | None:
        content = objects.get(*self._object, _MOST)
        if content is None:
            return None
        lease = Lease.read(content.body)
        if lease is None:
            LOG.warning("%s is no lease", "/".join(self._object))
        return Found(lease, content.etag, content.modified, content.age)

    def _give_back(self, objects: Objects) -> None:
        found = self._look(objects)
        if found is None or found.lease is None or found.lease.order > self._lease().order:
            return
        returned = replace(self._lease(), files=0, size=0, lasts=0)
        if self._write(objects, found, returned) is None:
            raise StorageError("It has just been changed")

    async def _ask(self, do: Callable[[Objects], T]) -> T:
        """Have it done with keys of now, in a thread. Raises StorageError."""
        keys = await self._keys.get(self._plan.username)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_THREADS, lambda: do(Objects(self._config, keys)))

    # --- what it knows

    def _lease(self) -> Lease:
        return Lease(
            node=self._node,
            name=self._config.node_name,
            since=self._since,
            renewed=datetime.now(UTC),
            files=self._unsent.files,
            size=self._unsent.bytes,
            lasts=self._config.agent.lease_time,
        )

    def _decide(self, found: Found | None) -> Decision:
        mine = self._lease().order if self._held else ""
        return leases.decide(found, self._node, self._chosen, mine, patient=self._patient)

    def _is_still_mine(self, found: Found | None) -> bool:
        """Of what is found while the storage is mounted. An earlier lease is one that the other
        site's store had before it knew of this one."""
        if found is None or found.lease is None:
            return self._is_continuous()
        return self._is_mine(found) or (self.confirmed and found.lease.order < self._lease().order)

    def _is_mine(self, found: Found | None) -> bool:
        return bool(found and found.lease and found.lease.node == self._node)

    def _is_continuous(self) -> bool:
        """Whether no other node can have had the lease since it was written, although it is gone:
        the person may have deleted it."""
        if self._held is None:
            return True
        if self._confirmed_at is not None:
            return self.confirmed
        return time.time() - self._held.written < self._trusted

    def _dispute(self, holder: Lease | None) -> None:
        """Another node may have had the storage since: remembered before it is ours again."""
        if holder is not None and not holder.returned:
            LOG.warning(
                "%s: the storage is taken over from %s, which has not sent %s files",
                self._plan.username, holder.name, holder.files,
            )  # fmt: skip
        if self._held and self._held.disputed is None:
            self._remember(replace(self._held, disputed=self._held.written))

    def _remember(self, held: Held) -> None:
        self._held = held
        durable.replace(self._plan.lease, json.dumps(asdict(held)))


def node_id(config: Config) -> str:
    """This node's, the same for ever; made once. Raises OSError."""
    path = config.dir / "agent" / "node"
    with contextlib.suppress(FileNotFoundError, ValueError):
        text = path.read_text(encoding="ascii").strip()
        if len(bytes.fromhex(text)) == _ID_BYTES:
            return text
    durable.replace(path, secrets.token_hex(_ID_BYTES))
    return path.read_text(encoding="ascii").strip()


def _in_use(reason: str) -> WaitingError:
    return WaitingError(State.WAIT_LEASE, StorageError(reason))
