"""Our mount, `rclone mount` with INFN's flags and s3fs, on one store and machine, in alternation.

Each round mounts the peers anew and has ours forget what it knows of the store, then does a row
on each mount in turn, in a directory of its own. Cold: what is read was put into the store past
all mounts, so that no mount and no page cache of a mount has it. Warm: the processes, and the
store's own page cache. Clients are processes of fio on one mount.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx

from benchmarks import mounts, storage_report, storage_rows
from benchmarks.mounts import CannotError, Mount
from benchmarks.storage_report import INFN, OURS, S3FS, Memory, Outcome
from benchmarks.storage_rows import FULL, QUICK, Row
from quaderno import names
from quaderno.storage import buckets
from tests.contract.node_fixtures import Node, running_node

MOUNTS = (OURS, INFN, S3FS)
_CONNECT = {OURS: mounts.ours, INFN: mounts.infn, S3FS: mounts.s3fs}
PEOPLE = 5  # with mounts, while the idle memory of one is read


def run(wanted: Sequence[str] = ()) -> Iterator[str]:
    """The lines of the report; `wanted` are beginnings of rows' names, all without.

    Raises SystemExit when there is no such row.
    """
    full = os.environ.get("QUADERNO_BENCH") == "full"
    sizes = FULL if full else QUICK
    with ExitStack() as stack:
        # Apart, for the first is closed to people and the second is not.
        state, work = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench"))) for _ in range(2)
        )
        work.chmod(0o755)
        rows = _chosen(list(storage_rows.rows(sizes, work)), wanted)
        node = stack.enter_context(running_node(state, faults=False))
        for user in mounts.PEOPLE.values():
            buckets.ensure_personal_bucket(node.config, user, node.issuer.keys(user))
        what = "the published sizes" if full else "small sizes"
        yield f"storage, {sizes.rounds} rounds in alternation, {what}:"
        yield from Bench(node, work, sizes.rounds).report(rows)


def _chosen(rows: list[Row], wanted: Sequence[str]) -> list[Row]:
    for beginning in wanted:
        if not any(row.name.startswith(beginning) for row in rows):
            raise SystemExit(f"No row is named {beginning}: {', '.join(row.name for row in rows)}")
    return [row for row in rows if not wanted or row.name.startswith(tuple(wanted))]


class Bench:
    """The rows on the mounts of one node."""

    def __init__(self, node: Node, work: Path, rounds: int) -> None:
        self._node, self._work, self._rounds = node, work, rounds
        self._peaks = dict.fromkeys(MOUNTS, 0)
        self._hopeless: dict[tuple[str, str], str] = {}
        self._runs = 0

    def report(self, rows: list[Row]) -> Iterator[str]:
        """Line by line, as they are measured."""
        idle = self._idle()
        yield storage_report.HEADER
        outcomes = []
        for row in rows:
            outcomes.append(self._outcome(row))
            yield from storage_report.lines(outcomes[-1])
        memory = Memory(idle, PEOPLE, self._peaks)
        yield from storage_report.memory_lines(memory)
        yield from storage_report.verdict(outcomes, memory)

    def _idle(self) -> int:
        """Of our rclone, bytes: its proportional share where several people have one each."""
        others = [f"other-{number}" for number in range(PEOPLE - 1)]
        for user in others:
            self._node.ready(user)
        with mounts.ours(self._node, self._work) as mount:
            share = mount.share()
        for user in others:
            self._node.release(user)
        return share

    def _outcome(self, row: Row) -> Outcome:
        outcome = Outcome(row.name, row.unit, row.group)
        for _ in range(self._rounds):
            self._runs += 1
            directory = f"run-{self._runs}"
            for user in mounts.PEOPLE.values():
                row.prepare(self._node.s3(user), names.bucket(user), directory)
            with ExitStack() as stack:
                for name in MOUNTS:
                    mount = stack.enter_context(_CONNECT[name](self._node, self._work))
                    self._measure(row, mount, directory, outcome)
                    self._peaks[name] = max(self._peaks[name], mount.peak())
            for user in mounts.PEOPLE.values():
                mounts.delete(self._node.s3(user), names.bucket(user), directory)
        self._reclaim()
        return outcome

    def _measure(self, row: Row, mount: Mount, directory: str, outcome: Outcome) -> None:
        """One run; not on a mount that could not do this kind of row."""
        kind = (mount.name, row.kind)
        if kind not in self._hopeless:
            try:
                speed = row.measure(mount, directory)
                outcome.speeds.setdefault(mount.name, []).append(speed)
            except CannotError as error:
                self._hopeless[kind] = str(error)
        if kind in self._hopeless:
            outcome.speeds.pop(mount.name, None)
            outcome.cannot[mount.name] = self._hopeless[kind]

    def _reclaim(self) -> None:
        """Have the store free the space of what was deleted."""
        master = f"http://127.0.0.1:{self._node.config.ports.store_master}"
        httpx.get(f"{master}/vol/vacuum?garbageThreshold=0.1", timeout=600).raise_for_status()
