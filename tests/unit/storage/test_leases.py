"""Whether a lease that was found can be had, and what the person is told who waits for it."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.storage.leases import LASTS_MOST, Decision, Found, Lease, decide, explain, since

WHEN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CLEAN = Lease("other", "node-b", WHEN, WHEN, files=0, size=0, lasts=300)
DIRTY = replace(CLEAN, files=3, size=70)
LATER = replace(CLEAN, since=WHEN + timedelta(seconds=1))
TEXT = json.loads(DIRTY.text())


def found(lease: Lease | None, age: float) -> Found:
    return Found(lease, '"tag"', 1_000_000.0, age)


@pytest.mark.parametrize(
    ("there", "chosen", "take", "stale"),
    [
        (None, "", True, False),
        (found(None, 0), "", True, False),
        (found(replace(DIRTY, node="me"), 0), "", True, False),
        (found(replace(DIRTY, node="me"), 9999), "", True, False),
        (found(CLEAN, 0), "", False, False),
        (found(CLEAN, 299), "", False, False),
        (found(CLEAN, -60), "", False, False),
        (found(CLEAN, 300), "", True, True),
        (found(DIRTY, 0), "", False, False),
        (found(DIRTY, 9999), "", False, True),
        (found(DIRTY, 9999), '"tag"', True, True),
        (found(DIRTY, 9999), '"an earlier one"', False, True),
        (found(DIRTY, 299), '"tag"', False, False),
    ],
)
def test_decide(there: Found | None, chosen: str, take: bool, stale: bool) -> None:
    decision = decide(there, "me", chosen)
    assert (decision.take, decision.stale) == (take, stale)


@pytest.mark.parametrize(
    ("there", "mine", "patient", "take"),
    [
        # Given back, whoever asks, and however new that is.
        (found(replace(CLEAN, lasts=0), 0), "", True, True),
        (found(replace(CLEAN, lasts=0), -5), LATER.order, False, True),
        # An earlier one that comes late does not count, whatever it says.
        (found(DIRTY, 0), LATER.order, True, True),
        (found(replace(DIRTY, node="zzz"), 0), LATER.order, False, True),
        (found(LATER, 0), CLEAN.order, False, False),
        # Who had the storage leaves it to whoever has it now, who may be cut off.
        (found(LATER, 300), CLEAN.order, True, False),
        (found(LATER, 300), CLEAN.order, False, True),
        (found(LATER, LASTS_MOST), CLEAN.order, True, True),
        (found(replace(DIRTY, since=LATER.since), LASTS_MOST), CLEAN.order, True, False),
    ],
)
def test_decide_between_two(there: Found, mine: str, patient: bool, take: bool) -> None:
    decision = decide(there, "me", mine=mine, patient=patient)
    assert decision.take is take
    chosen = decide(there, "me", there.etag, mine, patient=patient)
    assert chosen.take is (take or decision.stale)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-3600, 3600), st.booleans())))
def test_whoever_takes_it_is_later_than_all_before(takers: list[tuple[str, int, bool]]) -> None:
    """However wrong the clocks of the nodes are, in seconds."""
    lease: Lease | None = None
    had = dict.fromkeys("ab", datetime.fromtimestamp(0, UTC))
    for node, wrong, gives_back in takers:
        begins = since(lease, node, had[node], WHEN + timedelta(seconds=wrong))
        taken = Lease(node, node, begins, WHEN, 0, 0, 300)
        if lease is not None and (lease.node != node or lease.returned):
            assert taken.order > lease.order
            assert taken.since > lease.since
        elif lease is not None:
            assert taken.order == lease.order
        had[node] = begins
        lease = replace(taken, lasts=0) if gives_back else taken


def test_an_earlier_lease_that_is_found_changes_nothing() -> None:
    assert since(DIRTY, "me", LATER.since, LATER.since + timedelta(hours=1)) == LATER.since


def test_what_is_written_is_read() -> None:
    assert Lease.read(DIRTY.text().encode()) == DIRTY


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"other"',
        b"{}",
        *(
            json.dumps(TEXT | change).encode()
            for change in (
                {"node": ""},
                {"node": 7},
                {"name": None},
                {"since": "yesterday"},
                {"since": "2026-03-01T09:30:00"},
                {"renewed": 1},
                {"dirty": None},
                {"dirty": 3},
                {"dirty": {"files": "3", "bytes": 70}},
                {"dirty": {"files": True, "bytes": 70}},
                {"dirty": {"files": 3, "bytes": -1}},
                {"dirty": {"files": 3}},
                {"lasts": 1.5},
            )
        ),
        *(json.dumps({k: v for k, v in TEXT.items() if k != name}).encode() for name in TEXT),
    ],
)
def test_nonsense_is_no_lease(text: bytes) -> None:
    assert Lease.read(text) is None


@given(st.binary())
def test_no_content_breaks_it(text: bytes) -> None:
    assert Lease.read(text) is None


def test_a_lease_cannot_last_for_ever() -> None:
    forever = Lease.read(replace(CLEAN, lasts=10**12).text().encode())
    assert forever is not None
    assert forever.lasts == LASTS_MOST


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (Decision(False, CLEAN), "in use on node-b since 2026-03-01 09:30 UTC. Stop your server"),
        (Decision(False, DIRTY), "3 files wait there to be saved"),
        (Decision(False, replace(DIRTY, files=1)), "1 file waits there"),
        (Decision(False, DIRTY, stale=True), "not been heard of since 09:30 UTC"),
        (Decision(False, DIRTY, stale=True), "connect your storage here"),
        (Decision(True), ""),
    ],
)
def test_explain(decision: Decision, words: str) -> None:
    assert words in explain(decision)
