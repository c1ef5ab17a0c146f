"""Where somebody goes, and what they read there."""

import pytest

from quaderno.hub import placement
from quaderno.hub.placement import View
from quaderno.hub.standing import Standing, Stay

GIB = 2**30
DRAINED = ("drained for maintenance",)
RUNS = Stay(running=True, at=1.0, options={"image": "own"})
OLD = Stay(running=False, at=2.0, options={"cpu": 1})
NEW = Stay(running=False, at=3.0, options={"cpu": 2})


def site(
    name: str, stay: Stay | None = None, problems: tuple[str, ...] = (), memory: int = GIB
) -> Standing:
    return Standing(name=name, problems=problems, cpu=2, memory=memory, stay=stay)


def view(here: Standing, *others: Standing, **silent: Stay | None) -> View:
    return View(here, others, silent)


@pytest.mark.parametrize(
    ("seen", "where"),
    [
        # Where the server runs, even if nobody else is let in there.
        (view(site("bari"), site("cnaf", RUNS, DRAINED)), "cnaf"),
        (view(site("bari", NEW), site("cnaf", RUNS)), "cnaf"),
        # Two run, after a site that was lost came back: nobody is moved.
        (view(site("bari", RUNS), site("cnaf", RUNS)), "bari"),
        # Where the last one ran.
        (view(site("bari", OLD), site("cnaf", NEW)), "cnaf"),
        (view(site("bari", NEW), site("cnaf", OLD, memory=9 * GIB)), "bari"),
        (view(site("bari", OLD), site("cnaf", NEW, DRAINED)), "bari"),
        # Most room, and nobody moves between equals.
        (view(site("bari"), site("cnaf", memory=2 * GIB)), "cnaf"),
        (view(site("bari"), site("cnaf")), "bari"),
        (view(site("bari", problems=DRAINED), site("cnaf", memory=0)), "cnaf"),
        # Who does not answer is nobody's destination.
        (view(site("bari"), cnaf=RUNS), "bari"),
        (view(site("bari", problems=DRAINED), cnaf=NEW), "bari"),
        (view(site("bari"), site("roma", memory=2 * GIB), cnaf=NEW), "roma"),
    ],
)
def test_destination(seen: View, where: str) -> None:
    assert placement.destination(seen) == where


def test_a_lost_site_is_named_and_its_options_are_offered() -> None:
    seen = view(site("bari", OLD), cnaf=NEW)
    told = placement.news(seen)
    assert (told.here, told.lost, told.left) == ("bari", "cnaf", "")
    assert placement.options_elsewhere(seen) == {"cpu": 2}


def test_a_site_that_was_left_is_named() -> None:
    seen = view(site("bari", OLD), site("cnaf", NEW))
    told = placement.news(seen)
    assert (told.lost, told.left) == ("", "cnaf")
    assert [choice.name for choice in told.alternatives] == ["cnaf"]
    assert told.alternatives[0].free == "2 CPUs, 1 GB of memory free"
    assert placement.options_elsewhere(seen) == {"cpu": 2}


def test_who_worked_here_last_is_told_nothing() -> None:
    for seen in (view(site("bari", NEW), cnaf=OLD), view(site("bari", NEW), site("cnaf"))):
        told = placement.news(seen)
        assert (told.lost, told.left) == ("", "")
        assert placement.options_elsewhere(seen) == {}
    assert placement.news(view(site("bari"), cnaf=None)).lost == ""


def test_only_sites_that_are_ready_can_be_chosen() -> None:
    told = placement.news(view(site("bari", problems=DRAINED), site("cnaf", problems=DRAINED)))
    assert (told.ready, told.alternatives) == (False, ())
