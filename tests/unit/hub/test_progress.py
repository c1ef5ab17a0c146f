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
        return await asyncio.wait_for(watcher, 5)

    assert asyncio.run(scenario())[0]["state"] == "late"
