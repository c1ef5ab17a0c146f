from typing import Any

import pytest

from quaderno.hub.layers import Layers

MB = 10**6


def event(layer: str, status: str, current: int = 0, total: int = 0) -> dict[str, Any]:
    """As the engine says it; `progress` is its own drawing of a bar."""
    detail = {"current": current, "total": total} if total else {}
    return {"id": layer, "status": status, "progressDetail": detail, "progress": "[=>   ]"}


def reading_of(*events: dict[str, Any]) -> Any:
    layers = Layers()
    for one in events:
        layers.add(one)
    return layers.reading()


A_STARTS = event("a", "Pulling fs layer")
B_STARTS = event("b", "Pulling fs layer")


@pytest.mark.parametrize(
    ("events", "text", "percent"),
    [
        ([event("a", "Downloading", 34 * MB, 120 * MB)], "Downloading 34 of 120 MB (28 %)", 28),
        (
            [
                event("a", "Downloading", 30 * MB, 60 * MB),
                event("b", "Downloading", 4 * MB, 60 * MB),
            ],
            "Downloading 34 of 120 MB (28 %)",
            28,
        ),
        (
            [event("a", "Downloading", 1200 * MB, 3400 * MB)],
            "Downloading 1.2 of 3.4 GB (35 %)",
            35,
        ),
        ([event("a", "Downloading", 1000, 4000)], "Downloading 1 of 4 kB (25 %)", 25),
        # Part of the image is here: it is no part of the download.
        (
            [event("a", "Already exists"), event("b", "Downloading", 1 * MB, 2 * MB)],
            "Downloading 1 of 2 MB (50 %)",
            50,
        ),
        # The sizes of layers that wait are not known, so no sum is shown.
        (
            [
                event("a", "Downloading", 30 * MB, 60 * MB),
                event("b", "Waiting"),
                event("c", "Download complete"),
            ],
            "Downloading 30 MB, 1 of 3 layers complete",
            33,
        ),
        # A layer can arrive without any event in between.
        (
            [A_STARTS, event("a", "Download complete"), event("b", "Downloading", MB, 4 * MB)],
            "Downloading 1 of 4 MB (25 %)",
            25,
        ),
        # While one layer is extracted, another is still on its way.
        (
            [
                event("a", "Downloading", 1 * MB, 2 * MB),
                event("b", "Downloading", 1 * MB, 2 * MB),
                event("b", "Download complete"),
                event("b", "Extracting", 1 * MB, 2 * MB),
            ],
            "Downloading 3 of 4 MB (75 %)",
            75,
        ),
        (
            [
                event("a", "Downloading", 1 * MB, 2 * MB),
                event("a", "Verifying Checksum"),
                event("a", "Download complete"),
            ],
            "Extracting 0 of 2 MB (0 %)",
            0,
        ),
        (
            [
                event("a", "Downloading", 1 * MB, 30 * MB),
                event("b", "Downloading", 1 * MB, 10 * MB),
                event("a", "Download complete"),
                event("b", "Download complete"),
                event("a", "Pull complete"),
                event("b", "Extracting", 5 * MB, 10 * MB),
            ],
            "Extracting 35 of 40 MB (87 %)",
            87,
        ),
        # Engines with containerd's image store count seconds of extraction.
        (
            [
                event("a", "Downloading", 1 * MB, 2 * MB),
                event("a", "Download complete"),
                {"id": "a", "status": "Extracting", "progressDetail": {"current": 7, "units": "s"}},
            ],
            "Extracting 0 of 2 MB (0 %)",
            0,
        ),
    ],
)
def test_layers_are_added_up(events: list[dict[str, Any]], text: str, percent: int) -> None:
    reading = reading_of(*events)
    assert (reading.text, reading.percent) == (text, percent)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [{"status": "Pulling from library/debian", "id": "bookworm-slim"}],
        [A_STARTS, event("b", "Waiting")],
        [event("a", "Already exists"), {"status": "Digest: sha256:00"}],
        [{"progressDetail": {"hidecounts": True}}, {"unheard": "of"}],
    ],
)
def test_nothing_is_said_before_a_layer_moves(events: list[dict[str, Any]]) -> None:
    assert reading_of(*events) is None


def test_the_share_of_the_whole_never_falls_back() -> None:
    layers = Layers()
    shares = []
    for size in range(0, 100, 10):
        layers.add(event("a", "Downloading", size * MB, 100 * MB))
        shares.append(layers.reading())
    layers.add(event("a", "Download complete"))
    for size in range(0, 110, 10):
        layers.add(event("a", "Extracting", size * MB, 100 * MB))
        shares.append(layers.reading())
    values = [reading.share for reading in shares if reading]
    assert values == sorted(values)
    assert values[-1] == 1


def test_an_event_that_repeats_the_last_is_no_news() -> None:
    layers = Layers()
    assert layers.add(event("a", "Downloading", 1, 9))
    assert not layers.add(event("a", "Downloading", 1, 9))
    assert layers.add(event("a", "Downloading", 2, 9))
    assert layers.add(event("a", "Retrying in 5 seconds"))
    assert layers.add(event("a", "Retrying in 4 seconds"))


def test_a_pull_is_queued_while_none_of_its_layers_moves() -> None:
    layers = Layers()
    layers.add(A_STARTS)
    assert not layers.queued
    layers.add(event("a", "Waiting"))
    assert layers.queued
    layers.add(event("b", "Downloading", 1, 9))
    assert not layers.queued
