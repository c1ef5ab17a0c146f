"""Reports from a container that its person controls, and the sentences made of them."""

import json
from typing import Any

import pytest

from quaderno.hub import workarea
from quaderno.hub.inside import InsideError
from quaderno.hub.workarea import Stop

DIRECTORY = "cloud_storage/ada/saved/2026-11-24T0912"


def report(**changes: Any) -> dict[str, Any]:
    """What `quaderno-workarea save --json` says when three files were copied."""
    return {
        "directory": DIRECTORY,
        "copied": {"count": 3, "bytes": 2_000_000},
        "left": {"count": 0, "bytes": 0, "files": []},
        "changing": 0,
        "failed": 0,
        "storage": "ok",
        "left_out": [],
        "unseen": 0,
        "complete": True,
        **changes,
    }


def left(*files: tuple[str, int, str]) -> dict[str, Any]:
    return {
        "count": len(files),
        "bytes": sum(size for _, size, _ in files),
        "files": [{"path": path, "bytes": size, "reason": why} for path, size, why in files],
    }


def stop(**changes: Any) -> Stop:
    saved = workarea.parse_saved(json.dumps(report(**changes.pop("saved", {}))).encode())
    return Stop(**{"at": "2026-11-24T09:12:00Z", "by": "person", "saved": saved, **changes})


def told(found: Stop) -> list[str]:
    notice = workarea.notice(found)
    assert notice
    sentences: list[str] = notice["sentences"]
    return sentences


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"Traceback (most recent call last):",
        b"[]",
        b"{}",
        b'{"count": -1}',
        json.dumps(report(directory="../../etc")).encode(),
        json.dumps(report(directory="cloud_storage/ada/saved/2026-11-24T0912/<b>x</b>")).encode(),
        json.dumps(report(failed="many")).encode(),
        json.dumps(report(copied={"count": 2**70, "bytes": 0})).encode(),
        json.dumps(report(storage="on fire")).encode(),
        json.dumps(report(left=left(("a", 1, "because")))).encode(),
        json.dumps(report(left=left(*[("a", 1, "limit")] * 51))).encode(),
        json.dumps(report(left=left(("a" * 20_000, 1, "limit")))).encode(),
    ],
)
def test_nonsense_is_refused(answer: bytes) -> None:
    with pytest.raises(InsideError, match="nonsense"):
        workarea.parse_saved(answer)
    with pytest.raises(InsideError, match="nonsense"):
        workarea.parse_look(answer)


def test_what_a_later_image_adds_is_no_nonsense() -> None:
    assert workarea.parse_saved(json.dumps(report(colour="green")).encode()).copied.count == 3


def test_copied_files_are_told_of_once() -> None:
    copied = stop()
    assert told(copied) == [
        f"When it stopped, 3 files (1.9 MB) that existed only there were copied to {DIRECTORY}/."
    ]
    assert workarea.notice(copied.model_copy(update={"seen": True})) is None
    assert workarea.notice(None) is None


def test_nothing_is_told_when_nothing_happened() -> None:
    nothing = {"directory": None, "copied": {"count": 0, "bytes": 0}}
    assert workarea.notice(stop(saved=nothing)) is None
    assert workarea.notice(Stop(at="", by="person")) is None


@pytest.mark.parametrize(
    ("why", "sentence"),
    [
        ("idle", "was stopped because nothing had happened in it for long."),
        ("age", "as long as servers may."),
        ("administrator", "was stopped by an administrator."),
        ("ended", "ended without being stopped. What existed only in it is gone"),
        ("memory", "it needed more memory than it had (1 GB). Choose more memory"),
        ("node", "the machine that it ran on was restarted."),
        ("restart", "restarted while your server was starting. Start it again."),
    ],
)
def test_why_it_stopped_is_told_where_it_was_not_its_person(why: Any, sentence: str) -> None:
    nothing = {"directory": None, "copied": {"count": 0, "bytes": 0}}
    found = stop(saved=nothing, by=why, memory=2**30)
    (said,) = told(found)
    assert sentence in said
    notice = workarea.notice(found)
    assert notice
    assert notice["lost"] == (why in ("ended", "memory", "node"))


def test_the_peak_of_a_server_at_its_memory_limit_is_told() -> None:
    (said,) = told(Stop(at="", by="memory", memory=2 * 10**9, peak=19 * 10**8))
    assert "than it had (1.9 GB; shortly before, its peak was 1.8 GB). Choose" in said


def test_files_that_were_left_are_named_with_the_reason() -> None:
    files = left(("big.bin", 3 * 10**9, "limit"), ("locked", 900, "unreadable"))
    found = stop(saved={"left": files}, by="administrator", limit=2**30)
    assert told(found)[-1] == "2 files (2.8 GB) were not copied and are gone:"
    notice = workarea.notice(found)
    assert notice
    assert notice["files"] == [
        "big.bin (2.8 GB): more than 1 GB in all is not copied unasked",
        "locked (900 bytes): it cannot be read",
    ]
    assert notice["lost"]


def test_a_server_that_said_nothing_is_told_of() -> None:
    silent = Stop(at="", by="idle", problem="Your server did not say.")
    assert told(silent)[1:] == ["Your server did not say."]


def test_files_that_were_being_written_are_told_of() -> None:
    assert "still writing to 1 file of them" in told(stop(saved={"changing": 1}))[1]


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("away", "storage", "cloud_storage is not there now"),
        ("full", "storage", "cloud_storage has no room left"),
        ("read-only", "storage", "cloud_storage is read-only now"),
        ("ok", "time", "there was no time left"),
        ("ok", "name", "cloud_storage cannot have this name"),
    ],
)
def test_why_a_stop_was_put_off(state: str, reason: str, words: str) -> None:
    saved = stop(saved={"storage": state, "left": left(("a.txt", 5, reason))}).saved
    assert saved
    sentence = workarea.unsaved(saved)
    assert sentence == f"1 file (5 bytes) could not be copied, because {words}: a.txt."


@pytest.mark.parametrize("overlooked", [{"complete": False}, {"unseen": 1}])
def test_a_server_that_was_not_looked_at_whole_puts_a_stop_off(overlooked: dict[str, Any]) -> None:
    saved = stop(saved=overlooked).saved
    assert saved
    assert not saved.saw_all
    assert workarea.unsaved(saved) == (
        "Not all of your server could be looked at, so files that exist only there may be left. "
        "Copied so far: 3 files (1.9 MB)."
    )


def test_a_stop_survives_the_hubs_database() -> None:
    found = stop(saved={"left": left(("a", 1, "limit"))}, by="idle", limit=5)
    assert Stop.model_validate(json.loads(json.dumps(found.model_dump()))) == found
