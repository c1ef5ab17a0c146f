import asyncio
from contextlib import aclosing

from quaderno.hub.progress import Event, Progress


async def _first(progress: Progress, count: int) -> list[Event]:
    seen: list[Event] = []
    async with aclosing(progress.events()) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == count:
                break
    return seen


def test_a_late_watcher_gets_the_whole_story() -> None:
    async def scenario() -> list[Event]:
        progress = Progress()
        progress.begin("image", "quaderno/base:1")
        progress.done("image")
        return await _first(progress, 2)

    begun, done = asyncio.run(scenario())
    assert begun == {
        "progress": 15,
        "message": "Getting the image: quaderno/base:1",
        "step": "image",
        "state": "running",
    }
    assert done["state"] == "done"
    assert done["seconds"] >= 0


def test_a_waiting_watcher_gets_news_as_it_happens() -> None:
    async def scenario() -> list[Event]:
        progress = Progress()
        watcher = asyncio.create_task(_first(progress, 1))
        await asyncio.sleep(0)
        progress.done("storage", "not available yet", state="late")
        return await asyncio.wait_for(watcher, 60)

    assert asyncio.run(scenario())[0]["state"] == "late"


def test_an_update_replaces_the_one_before() -> None:
    async def scenario() -> list[Event]:
        progress = Progress()
        progress.begin("image", "quaderno/base:1")
        for percent in range(100):
            text = f"Downloading {percent} of 100 MB"
            progress.update("image", text, percent=percent, share=percent / 100)
        return await _first(progress, 2)

    begun, update = asyncio.run(scenario())
    assert update == {
        "progress": 34,
        "message": "Downloading 99 of 100 MB",
        "step": "image",
        "state": "running",
        "percent": 99,
    }
    assert begun["step"] == update["step"]


def test_what_is_over_is_not_told_again() -> None:
    async def scenario() -> list[Event]:
        progress = Progress()
        progress.begin("image")
        progress.update("image", "Downloading", percent=50, share=0.5)
        progress.note("image", "Trying again")
        progress.done("image")
        return await _first(progress, 3)

    begun, note, done = asyncio.run(scenario())
    assert [event["state"] for event in (begun, note, done)] == ["running", "late", "done"]
    assert note["step"] != begun["step"] == done["step"]


def test_a_waiting_watcher_sees_updates() -> None:
    async def scenario() -> list[Event]:
        progress = Progress()
        watcher = asyncio.create_task(_first(progress, 2))
        await asyncio.sleep(0)
        progress.update("image", "Downloading", percent=1, share=0)
        await asyncio.sleep(0)
        progress.update("image", "Extracting", percent=2, share=0)
        return await asyncio.wait_for(watcher, 60)

    assert [event["percent"] for event in asyncio.run(scenario())] == [1, 2]


def test_a_page_without_scripts_shows_the_newest_of_each_step() -> None:
    progress = Progress()
    assert progress.newest() == []
    progress.begin("room", "place 2 of 2 in line")
    progress.begin("room", "place 1 of 1 in line")
    progress.begin("image", "quaderno/base:1")
    progress.update("image", "50 of 100 MB", percent=50, share=0.5)
    said = [(step["step"], step["message"]) for step in progress.newest()]
    assert said == [("room", "Waiting for room: place 1 of 1 in line"), ("image", "50 of 100 MB")]
