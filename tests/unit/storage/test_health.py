"""What people are told of their storage."""

import pytest

from quaderno.storage.health import Figures, Level, Pending, Quota, Refused, judge, why_not_yet
from quaderno.storage.states import State

REFUSED = Refused("alice/a", "The object store refuses it (AccessDenied).")


@pytest.mark.parametrize(
    ("state", "figures", "level", "words"),
    [
        (State.READY, Figures(), Level.OK, "Everything is saved."),
        (State.UNMOUNTED, Figures(), Level.OK, "Everything is in the object store."),
        (State.PREPARE, Figures(), Level.BUSY, "being connected"),
        (State.WAIT_KEYS, Figures(), Level.ERROR, "log in again"),
        (State.WAIT_LEASE, Figures(), Level.ERROR, "the login has ended"),
        (State.WAIT_S3, Figures(), Level.WARNING, "Nothing is lost"),
        (State.READY, Figures(Pending(1, 5, 0.5)), Level.BUSY, "1 file is being saved"),
        (State.READY, Figures(Pending(2, 5, 0.5)), Level.BUSY, "2 files are being saved"),
        (State.READY, Figures(Pending(2, 5, 90)), Level.WARNING, "2 files wait to be saved"),
        (
            State.READY,
            Figures(Pending(1, 5, 5), failing=True),
            Level.WARNING,
            "1 file waits to be saved: the object store does not take it now; it is kept",
        ),
        (State.READY, Figures(refused=(REFUSED,)), Level.ERROR, "alice/a: The object store"),
        (State.READY, Figures(refused=(REFUSED,) * 2), Level.ERROR, "and 1 other"),
        (State.READY, Figures(refused=(REFUSED,) * 3), Level.ERROR, "and 2 others"),
        (State.READY, Figures(read_only="The disk is full."), Level.ERROR, "The disk is full."),
        (
            State.READY,
            Figures(read_only="It is full.", aside=1),
            Level.ERROR,
            "It is full. 1 rescued file waits on this node until your bucket takes it.",
        ),
        (State.READY, Figures(rescued=1), Level.OK, "1 file is kept in .quaderno/rescued"),
        (
            State.READY,
            Figures(rescued=1, conflicts=("cloud_storage/ada/a.conflict-bari-now",)),
            Level.WARNING,
            "the other one as cloud_storage/ada/a.conflict-bari-now.",
        ),
        (
            State.READY,
            Figures(
                conflicts=(
                    "cloud_storage/ada/a.conflict-bari-now",
                    "cloud_storage/ada/b.conflict-bari-now",
                )
            ),
            Level.WARNING,
            "2 files were changed at two sites",
        ),
        (State.READY, Figures(quota=Quota(100, 79)), Level.OK, "Everything is saved."),
        (State.READY, Figures(quota=Quota(100, 80)), Level.WARNING, "80% of your quota"),
        (State.READY, Figures(quota=Quota(0, 80)), Level.OK, "Everything is saved."),
        (
            State.READY,
            Figures(quota=Quota(100, 100, full=True, cleaning=890)),
            Level.WARNING,
            "For 15 minutes you can delete files",
        ),
        (
            State.READY,
            Figures(quota=Quota(100, 100, full=True, cleaning=20)),
            Level.WARNING,
            "For 1 minute you",
        ),
        (State.DRAINING, Figures(Pending(1, 5, 1)), Level.BUSY, "1 file is being saved"),
    ],
)
def test_judge(state: State, figures: Figures, level: Level, words: str) -> None:
    found, sentence = judge(state, figures, "the login has ended")
    assert found is level
    assert words in sentence


def test_why_not_yet() -> None:
    assert why_not_yet(0, failing=True) == ""
    assert why_not_yet(1, failing=False) == "1 file is not uploaded yet"
    assert why_not_yet(2, failing=True).endswith("the object store does not take them")


def test_a_quota_is_described_in_the_units_of_the_settings() -> None:
    described = Figures(quota=Quota(200 * 2**30, 3 * 2**29, cleaning=12.4)).describe()["quota"]
    assert described["text"] == "1.5 GB of 200 GB used"
    assert (described["full"], described["cleaning"]) == (False, 12)
    assert Quota(0, 1).describe()["text"] == "1 byte used"
