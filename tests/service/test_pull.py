"""Images that come slowly, after a while, in part, or never: what people see of it."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import docker
import httpx
import pytest
from docker.errors import ImageNotFound
from playwright.sync_api import BrowserContext, expect

from tests.service import http_person, people
from tests.service.registry import Registry, push_image, running_registry
from tests.service.running import Hub, Service, wait_for

MB = 10**6
# Somebody of their own: what was started last is offered again, and this image goes away.
WHO, PASSWORD = "paul", "a-pull-that-never-ends-2001"
_AMOUNT = re.compile(r"Downloading (\d+) of 8 MB \((\d+) %\)")


@pytest.fixture(scope="module", autouse=True)
def paul(service: Service) -> None:
    service.register(WHO, PASSWORD)
    http_person.log_in(service, WHO, PASSWORD)


@pytest.fixture(scope="module")
def everything(container_engine: None) -> Iterator[tuple[Registry, str]]:
    """A registry with one image of 8 MB on top of what the engine has."""
    with running_registry() as registry:
        yield registry, push_image(registry, "slow:1", 8 * MB)


@pytest.fixture
def registry(everything: tuple[Registry, str]) -> Iterator[Registry]:
    yield everything[0]
    everything[0].behave()


@pytest.fixture
def image(
    everything: tuple[Registry, str], registry: Registry, service: Service, hub: Hub
) -> Iterator[str]:
    """Its reference; it is not on this machine, and will not be."""
    yield everything[1]
    registry.behave()
    if hub.running(WHO):
        hub.stop(WHO)
    # The engine keeps what a container uses.
    wait_for(lambda: service.leftovers(WHO) == [], 60, "the end of the container")
    with suppress(ImageNotFound):
        docker.from_env().images.remove(everything[1], force=True)


def ask_for(hub: Hub, image: str) -> httpx.Response:
    return hub.request("POST", f"/users/{WHO}/server", json={"image": image})


def start(hub: Hub, image: str) -> None:
    """For a start that takes longer than the API waits; it may be watched then."""
    answer = ask_for(hub, image)
    assert answer.is_success, answer.text


def story(hub: Hub) -> list[dict[str, Any]]:
    """The events of a start from now to its end."""
    text = hub.request("GET", f"/users/{WHO}/server/progress").text
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def notes(events: list[dict[str, Any]]) -> list[str]:
    return [event["message"] for event in events if "trying again" in event["message"]]


def test_a_slow_pull_shows_how_far_it_is(hub: Hub, registry: Registry, image: str) -> None:
    registry.rate = 1 * MB  # more seconds than the API waits before it answers
    start(hub, image)
    events = story(hub)
    assert events[-1].get("ready"), events[-1]
    updates = [event for event in events if "percent" in event]
    seen = [
        (int(found[1]), int(found[2]), event)
        for event in updates
        if (found := _AMOUNT.fullmatch(event["message"]))
    ]
    assert len(seen) > 3, updates
    assert all(percent == event["percent"] for _, percent, event in seen)
    assert [megabytes for megabytes, _, _ in seen] == sorted(megabytes for megabytes, _, _ in seen)
    assert len({event["progress"] for _, _, event in seen}) > 3
    assert {event["step"] for event in updates} == {"image"}
    assert notes(events) == []


def test_a_registry_out_of_order_is_asked_again_in_the_same_start(
    hub: Hub, registry: Registry, image: str
) -> None:
    registry.errors = 2
    start(hub, image)
    events = story(hub)
    assert notes(events) == [
        "The registry reports an error of its own; trying again in 4 s (2 of 4)",
        "The registry reports an error of its own; trying again in 8 s (3 of 4)",
    ]
    assert events[-1].get("ready"), events[-1]


def test_an_image_that_does_not_exist_fails_at_once(
    service: Service, hub: Hub, registry: Registry
) -> None:
    missing = f"{registry.address}/no/such:1"
    answer = ask_for(hub, missing)
    if answer.is_success:  # it takes longer to fail than the API waits
        (*_, last) = story(hub)
        assert last["failed"]
        message = last["message"]
    else:
        assert answer.status_code == 400
        message = answer.json()["message"]
    assert message.startswith(f"The image {missing} does not exist, or may not be pulled. Check")
    (reference,) = re.findall(r"\(Reference ([0-9a-f]{6})\.\)", message)
    assert f"[{reference}] pull of {missing}: 404" in (service.config.logs / "hub.log").read_text()
    assert service.leftovers(WHO) == []


def test_a_download_that_stands_still_ends(
    service: Service, hub: Hub, registry: Registry, image: str
) -> None:
    registry.flows.clear()
    start(hub, image)
    events = story(hub)
    sentence = "The download of the image has stopped moving"
    said = [note.rpartition("; ") for note in notes(events)]
    turns = ((2, 4), (3, 8), (4, 16))
    assert [after for *_, after in said] == [
        f"trying again in {pause} s ({turn} of 4)" for turn, pause in turns
    ]
    # A try in which nothing has come in time, as on a busy machine, is told as a silent registry.
    known = {sentence, "The registry does not answer"}
    assert sentence in {before for before, *_ in said} <= known
    assert events[-1]["failed"]
    ends = (
        f"{sentence} (tried 4 times). Start again in some minutes.",
        "The registry does not answer (tried 4 times). Check the image's name."
        " Start again in some minutes.",
    )
    assert any(end in events[-1]["message"] for end in ends), events[-1]
    wait_for(lambda: not hub.running(WHO), 60, "the failure")
    assert service.leftovers(WHO) == []


def test_a_start_cancelled_during_the_pull_ends_the_pull(
    service: Service, hub: Hub, registry: Registry, image: str
) -> None:
    registry.rate = MB // 10
    start(hub, image)
    wait_for(lambda: registry.downloads, 60, "the download")
    assert hub.request("DELETE", f"/users/{WHO}/server").status_code in (202, 204)
    wait_for(lambda: not registry.downloads, 60, "the end of the download")
    wait_for(lambda: not hub.running(WHO), 60, "the end")
    assert service.leftovers(WHO) == []
    # Had it come after all, the clean-up would know of it.
    noted = (service.config.dir / "hub" / "fetched-images").iterdir()
    assert image in [note.read_text() for note in noted]
    # The next start is as if nothing had been.
    registry.behave()
    registry.rate = 1 * MB
    start(hub, image)
    events = story(hub)
    assert events[-1].get("ready"), events[-1]
    assert notes(events) == []


def test_the_page_shows_how_far_it_is_and_its_button_ends_it(
    service: Service,
    hub: Hub,
    registry: Registry,
    image: str,
    person: Callable[[], BrowserContext],
    screenshot: Callable[..., None],
) -> None:
    registry.rate = MB // 5  # so that there is time to look
    page = person().new_page()
    people.log_in(page, service, WHO, PASSWORD)
    people.authorize(page)
    expect(page.get_by_role("heading", name="Server options")).to_be_visible()
    page.goto(f"{service.config.public_url}/hub/spawn?own_image={image}")
    expect(page.get_by_label("Image reference")).to_have_value(image)
    page.get_by_role("button", name="Start", exact=True).click()
    steps = page.locator("main").get_by_role("listitem")
    share = steps.filter(has_text=_AMOUNT).get_by_role("progressbar")
    expect(share).to_have_attribute("value", re.compile(r"[1-9]\d"), timeout=60_000)
    expect(steps).to_have_count(2)  # the choices, and this one
    screenshot(page, "pulling")
    page.get_by_role("button", name="Cancel").click()
    page.wait_for_url(f"{service.config.public_url}/hub/home", timeout=60_000)
    wait_for(lambda: not registry.downloads, 60, "the end of the download")
    wait_for(lambda: not hub.running(WHO), 60, "the end")
    assert service.leftovers(WHO) == []
