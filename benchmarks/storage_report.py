"""The storage benchmark in words: medians, ratios, and which targets hold. Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median

OURS, INFN, S3FS = "quaderno", "rclone mount", "s3fs"
RANDOM_WRITE, SMALL_FILES = "random write", "small files"
PSS_MOST, RSS_MOST = 30 * 10**6, 160 * 10**6  # bytes: idle, and at any time
_TWICE = 2.0


@dataclass(frozen=True)
class Speed:
    """Of one run, in the row's unit: until everything is acknowledged, and until it is in S3."""

    acknowledged: float
    in_store: float | None = None


@dataclass
class Outcome:
    """Of one row: the speeds of each mount, and why it cannot do it."""

    name: str
    unit: str
    group: str
    speeds: dict[str, list[Speed]] = field(default_factory=dict)
    cannot: dict[str, str] = field(default_factory=dict)

    def acknowledged(self, mount: str) -> float | None:
        """The median; None when the mount cannot do it."""
        return _median([speed.acknowledged for speed in self.speeds.get(mount, ())])

    def in_store(self, mount: str) -> float | None:
        """The same until it is in S3; None also where nothing is written."""
        return _median([each.in_store for each in self.speeds.get(mount, ()) if each.in_store])

    def ratio(self, peer: str) -> float | None:
        """How many times as fast as the peer ours is."""
        return _ratio(self.acknowledged(OURS), self.acknowledged(peer))


@dataclass(frozen=True)
class Memory:
    """In bytes: what our rclone takes when idle (proportional set size, among so many of them),
    and the largest resident set of each mount's process."""

    idle: int
    among: int
    peaks: Mapping[str, int]


HEADER = (
    f"{'':22}{'':9}{OURS:>10}{INFN:>14}{'ratio':>8}{S3FS:>10}{'ratio':>8}\n"
    "  (medians; a ratio above 1: quaderno is that many times as fast as the peer)"
)


def lines(outcome: Outcome) -> Iterator[str]:
    """One row; a second one where something is written; who cannot do it."""
    yield _line(outcome.name, outcome.unit, outcome.acknowledged)
    if outcome.in_store(OURS) is not None:
        yield _line("  until it is in S3", outcome.unit, outcome.in_store)
    for mount, why in outcome.cannot.items():
        yield f"    {mount} cannot: {why}"


def memory_lines(memory: Memory) -> Iterator[str]:
    """The memory that each mount takes."""
    yield f"idle, one of {memory.among} people (PSS): {OURS} {memory.idle / 1e6:.0f} MB"
    peaks = [f"{mount} {peak / 1e6:.0f} MB" for mount, peak in memory.peaks.items()]
    yield f"at most, over these rows (RSS): {', '.join(peaks)}"


def verdict(outcomes: list[Outcome], memory: Memory) -> Iterator[str]:
    """Which targets hold. Nothing is asserted: it is for who reads it."""
    yield _target(f"never slower than {INFN} with INFN's flags", _below(1, outcomes))
    for group in (RANDOM_WRITE, SMALL_FILES):
        of_group = [each for each in outcomes if each.group == group]
        if of_group:
            yield _target(f"twice as fast or better in {group}", _below(_TWICE, of_group))
    peak = memory.peaks[OURS]
    too_much = [
        f"{what} {found / 1e6:.0f} MB"
        for what, found, most in (("idle", memory.idle, PSS_MOST), ("peak", peak, RSS_MOST))
        if found > most
    ]
    yield _target("memory of 30 MB when idle (PSS), 160 MB at most (RSS)", too_much)


def _below(least: float, outcomes: list[Outcome]) -> list[str]:
    """Rows in which ours is less than so many times as fast as INFN's."""
    found = []
    for outcome in outcomes:
        ratio = outcome.ratio(INFN)
        if OURS in outcome.cannot:
            found.append(f"{outcome.name}, which it cannot do")
        elif ratio is not None and ratio < least:
            found.append(f"{outcome.name} {ratio:.2f}")
    return found


def _target(what: str, exceptions: list[str]) -> str:
    return f"target, {what}: " + (f"not in {', '.join(exceptions)}" if exceptions else "holds")


def _line(name: str, unit: str, figure: Callable[[str], float | None]) -> str:
    ours = figure(OURS)
    text = f"{name:22}{unit:9}{_number(ours):>10}"
    for peer, width in ((INFN, 14), (S3FS, 10)):
        ratio = _ratio(ours, figure(peer))
        text += f"{_number(figure(peer)):>{width}}" + (f"{ratio:8.2f}" if ratio else f"{'':8}")
    return text.rstrip()


def _number(value: float | None) -> str:
    return "cannot" if value is None else f"{value:,.0f}"


def _ratio(ours: float | None, peer: float | None) -> float | None:
    return ours / peer if ours and peer else None


def _median(values: list[float]) -> float | None:
    return median(values) if values else None
