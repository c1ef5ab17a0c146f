"""Objects that changed at both sites: what becomes of them, and what copies are called."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.storage.conflicts import (
    NAME_MOST,
    Fate,
    Version,
    copy_name,
    is_late,
    is_object,
    is_somebodys,
    judge,
    marker,
)

BASE = Version(1_000_000_000, 5, b"base", stored=1_000_000_000)
OURS = Version(2_000_000_000, 4, b"ours", stored=2_000_000_000)
THEIRS = Version(3_000_000_000, 6, b"theirs", stored=3_000_000_000)
LATER = replace(OURS, written=4_000_000_000)


def at(version: Version, second: int) -> Version:
    """Another version that is stored with this time."""
    return replace(version, md5=b"another", written=second * 10**9, stored=second * 10**9)


@pytest.mark.parametrize(
    ("here", "base", "new", "seen", "fate"),
    [
        # The next version of what is here, or already here.
        (BASE, BASE, THEIRS, [], Fate.APPLY),
        (BASE, BASE, None, [], Fate.APPLY),
        (None, None, THEIRS, [], Fate.APPLY),
        (THEIRS, BASE, THEIRS, [], Fate.APPLY),
        # Its predecessor is on its way here.
        (BASE, OURS, THEIRS, [BASE, OURS], Fate.APPLY),
        # Brought again, after an interruption: what is here followed it.
        (OURS, None, BASE, [BASE, OURS], Fate.LEAVE),
        (OURS, BASE, OURS, [BASE, OURS], Fate.APPLY),
        (LATER, BASE, None, [BASE, LATER], Fate.LEAVE),
        (LATER, BASE, THEIRS, [BASE, LATER], Fate.LEAVE),
        (LATER, THEIRS, OURS, [OURS, LATER], Fate.LEAVE),
        (LATER, BASE, OURS, [BASE, OURS, LATER], Fate.LEAVE),
        # For the first time, though it brings back what was there before, within a second.
        (OURS, OURS, BASE, [BASE, OURS], Fate.APPLY),
        (BASE, OURS, BASE, [BASE, OURS], Fate.APPLY),
        (OURS, None, BASE, [BASE, OURS, None], Fate.APPLY),
        # Changed at both sites, made at both sites.
        (OURS, BASE, THEIRS, [], Fate.REPLACE),
        (LATER, BASE, THEIRS, [], Fate.LEAVE),
        (OURS, None, THEIRS, [], Fate.REPLACE),
        (LATER, None, THEIRS, [], Fate.LEAVE),
        (replace(OURS, written=THEIRS.written), BASE, THEIRS, [], Fate.REPLACE),
        (OURS, BASE, THEIRS, [BASE], Fate.REPLACE),
        # Removed at one, changed at the other.
        (OURS, BASE, None, [], Fate.LEAVE),
        (LATER, BASE, None, [], Fate.LEAVE),
        (None, BASE, THEIRS, [], Fate.APPLY),
        (None, BASE, None, [], Fate.APPLY),
        # A lease that was taken later has been written earlier, or not.
        (replace(LATER, order="1"), BASE, replace(THEIRS, order="2"), [], Fate.REPLACE),
        (replace(OURS, order="2"), BASE, replace(THEIRS, order="1"), [], Fate.LEAVE),
        (replace(OURS, order="1"), BASE, replace(THEIRS, order="1"), [], Fate.REPLACE),
    ],
)
def test_judge(
    here: Version | None,
    base: Version | None,
    new: Version | None,
    seen: list[Version | None],
    fate: Fate,
) -> None:
    assert judge(here, base, new, seen) is fate


def test_of_two_versions_of_one_second_both_sites_choose_the_same() -> None:
    """SeaweedFS's S3 tells whole seconds."""
    ours, theirs = replace(OURS, written=THEIRS.written), THEIRS
    fates = {judge(ours, BASE, theirs, []), judge(theirs, BASE, ours, [])}
    assert fates == {Fate.REPLACE, Fate.LEAVE}


@pytest.mark.parametrize(
    ("here", "base", "new", "expected"),
    [
        (BASE, BASE, THEIRS, False),
        (THEIRS, BASE, THEIRS, False),
        # Of the same time, known or not known as the next one.
        (BASE, BASE, at(BASE, 1), False),
        (OURS, BASE, at(THEIRS, 2), True),
        # The clock of the other site is late; it has been seen to already.
        (THEIRS, THEIRS, at(OURS, 1), True),
        (replace(THEIRS, stored=1), THEIRS, at(OURS, 1), False),
    ],
)
def test_what_seaweedfs_would_not_replace(
    here: Version, base: Version | None, new: Version, expected: bool
) -> None:
    assert is_late(here, base, new) is expected


@given(st.lists(st.sampled_from(("bari", "cnaf")), min_size=1, max_size=8))
def test_whatever_two_sites_write_while_apart_its_last_versions_are_kept(
    writers: list[str],
) -> None:
    """Two sites that write one object, in this order, and then hear of each other's changes."""
    here: dict[str, Version | None] = {"bari": None, "cnaf": None}
    events: dict[str, list[tuple[Version | None, Version]]] = {"bari": [], "cnaf": []}
    for second, site in enumerate(writers, start=1):
        written = Version(second * 10**9, 1, site.encode())
        events[site].append((here[site], written))
        here[site] = written
    last = {version for version in here.values() if version}
    kept: set[Version | None] = set()
    for site, other in (("bari", "cnaf"), ("cnaf", "bari")):
        seen: list[Version | None] = []
        for base, new in events[other]:
            fate = judge(here[site], base, new, seen)
            if fate is Fate.REPLACE:
                kept.add(here[site])
            if fate is not Fate.LEAVE:
                seen += [each for each in (here[site], new) if each and each not in seen]
                here[site] = new
            else:
                seen.append(new)
    assert here["bari"] == here["cnaf"] == max(last, key=lambda version: version.written)
    assert last <= kept | set(here.values())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/buckets/ada/note.txt", True),
        ("/buckets/ada/.quaderno/lab/theme", True),
        ("/buckets/ada/.uploads/1234/part", False),
        ("/buckets/.system/owners/.complete", False),
        ("/buckets/ada", False),
        ("/topics/x", False),
    ],
)
def test_is_object(path: str, expected: bool) -> None:
    assert is_object(path) is expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/buckets/ada/note.txt", True),
        ("/buckets/ada/a/deep/note.txt", True),
        ("/buckets/ada/a\nline", True),
        ("/buckets/ada/.quaderno/rescued/2026/note.txt", True),
        ("/buckets/ada/.quaderno/lab/user-settings/theme", False),
        ("/buckets/ada/.quaderno/conflicts/ada/x", False),
        ("/buckets/scratch/ada/.quaderno/lease.json", False),
        ("/buckets/scratch/ada/note.txt", True),
        ("/buckets/ada--run/note.txt", True),
        ("/buckets/quaderno/bob/ada--run/read", False),
        ("/topics/x", False),
    ],
)
def test_is_somebodys(path: str, expected: bool) -> None:
    assert is_somebodys(path) is expected


def test_a_copy_has_the_name_of_its_site_and_time() -> None:
    name = "note.txt.conflict-bari-1970-01-01T00.00.02Z"
    assert copy_name("note.txt", "bari", OURS.written) == name
    assert copy_name("note.txt", "bari", OURS.written, 2) == f"{name}-2"
    long = copy_name("é" * 127, "bari", OURS.written)
    assert len(long.encode()) <= NAME_MOST
    assert long.endswith(name.removeprefix("note.txt"))


def test_a_note_is_for_the_owner_of_the_copy() -> None:
    assert marker("/buckets/ada/a/b", "scratch") == "/buckets/ada/.quaderno/conflicts/ada/a/b"
    own = "/buckets/ada/.quaderno/conflicts/scratch/ada/b"
    assert marker("/buckets/scratch/ada/b", "scratch") == own
    further = "/buckets/ada/.quaderno/conflicts/ada--run/b"
    assert marker("/buckets/ada--run/b", "scratch") == further
    with pytest.raises(ValueError, match="somewhere"):
        marker("/somewhere", "scratch")
