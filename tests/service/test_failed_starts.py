"""Starts that cannot succeed, are cancelled, or end early: named, and nothing is left behind."""

import io
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from quaderno import supervisor
from tests.service import http_person, people
from tests.service.running import Hub, Service, wait_for

SOON = 60_000  # milliseconds
# Answers after some seconds, as JupyterLab would.
SLOWLY = (
    "use IO::Socket::INET; sleep 6;"
    "$s = IO::Socket::INET->new(LocalPort => 8888, Listen => 5, ReuseAddr => 1);"
    'while ($c = $s->accept) { <$c>; print $c "HTTP/1.0 200 OK\\r\\n\\r\\n{}"; close $c }'
)
Build = Callable[[str], str]


@pytest.fixture(scope="module", autouse=True)
def ada_has_no_server(service: Service, hub: Hub) -> None:
    http_person.log_in(service, "ada")
    if hub.running("ada"):
        hub.stop("ada")


@pytest.fixture
def build(service: Service) -> Iterator[Build]:
    """Builds an image of one's own from a Dockerfile; removed afterwards. No other test has the
    same one, which would go with it."""
    engine = docker.from_env()
    built: list[str] = []

    def from_dockerfile(text: str) -> str:
        reference = f"quaderno-test/{service.config.instance}:{len(built)}"
        text = text.replace("\n", f"\nLABEL quaderno-test={service.config.instance}\n", 1)
        engine.images.build(fileobj=io.BytesIO(text.encode()), tag=reference, rm=True)
        built.append(reference)
        return reference

    yield from_dockerfile
    for reference in built:
        engine.images.remove(reference, force=True)


def nothing_is_left(service: Service) -> None:
    """No container, no network, no use of the mounts; uploads may still drain."""
    deadline = time.monotonic() + 60
    while found := service.leftovers("ada"):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("dockerfile", "status", "sentence"),
    [
        ("FROM debian:bookworm-slim\nCMD []", 400, "says no program to start"),
        ('FROM debian:bookworm-slim\nCMD ["lab"]', 400, "lacks the program that it says to start"),
        ('FROM debian:bookworm-slim\nCMD ["false"]', 400, "ended with code 1 instead of starting"),
        (
            'FROM quaderno/base:0.1.0\nCMD ["python", "-c", "[0] * (1 << 29)"]',
            400,
            "needed more memory than it was given",
        ),
    ],
    ids=["no program", "missing program", "crash", "out of memory"],
)
def test_an_image_that_cannot_work_is_named(
    service: Service, hub: Hub, build: Build, dockerfile: str, status: int, sentence: str
) -> None:
    options = {"image": build(dockerfile), "memory": "1G"}
    answer = hub.request("POST", "/users/ada/server", json=options)
    if answer.is_success:  # it takes longer to fail than the API waits
        answer = hub.request("GET", "/users/ada/server/progress")
        assert '"failed": true' in answer.text
    else:
        assert answer.status_code == status
    assert sentence in answer.text
    wait_for(lambda: not hub.running("ada"), 60, "the failure")
    nothing_is_left(service)


def test_a_start_cancelled_while_the_storage_is_awaited_leaves_nothing(
    service: Service, hub: Hub
) -> None:
    agent = service.status()["agent"].pid
    assert agent is not None
    os.kill(agent, signal.SIGSTOP)
    try:
        assert hub.request("POST", "/users/ada/server", json={"image": "base"}).is_success
        cancelled = hub.request("DELETE", "/users/ada/server")
        assert cancelled.status_code in (202, 204)
    finally:
        os.kill(agent, signal.SIGCONT)
    wait_for(lambda: not hub.running("ada"), 60, "the end")
    nothing_is_left(service)


def test_a_start_cancelled_while_the_server_is_awaited_leaves_nothing(
    service: Service, hub: Hub, build: Build
) -> None:
    slow = build('FROM debian:bookworm-slim\nCMD ["sleep", "3600"]')
    assert hub.request("POST", "/users/ada/server", json={"image": slow}).is_success
    wait_for(lambda: service.containers("ada"), 60, "the container")
    assert hub.request("DELETE", "/users/ada/server").status_code in (202, 204)
    wait_for(lambda: not hub.running("ada"), 60, "the end")
    nothing_is_left(service)


def test_what_failed_is_not_the_next_starts_default(service: Service, hub: Hub) -> None:
    hub.start("ada", image="base", cpu=0.5)
    hub.stop("ada")
    assert hub.request("POST", "/users/ada/server", json={"cpu": 999}).status_code == 400
    hub.start("ada")
    assert "CPU_LIMIT=0.5" in service.container("ada").attrs["Config"]["Env"]
    hub.stop("ada")
    nothing_is_left(service)


def test_a_server_that_ends_by_itself_leaves_nothing(service: Service, hub: Hub) -> None:
    hub.start("ada", image="base")
    service.inside("ada", "import os, signal; os.kill(1, signal.SIGTERM)")
    wait_for(lambda: not hub.running("ada"), 60, "the hub's notice")
    nothing_is_left(service)


def test_two_starts_at_once_make_one_server(service: Service, hub: Hub) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(
                lambda _: hub.request("POST", "/users/ada/server", json={}).status_code, range(4)
            )
        )
    # JupyterHub answers the others with 500 when they come in the same moment.
    assert set(answers) & {201, 202}, answers
    wait_for(lambda: hub.ready("ada"), 180, "the server")
    assert len([thing for thing in service.leftovers("ada") if "container" in thing]) == 1
    hub.stop("ada")
    nothing_is_left(service)


def test_a_restarted_hub_goes_on_with_a_start(service: Service, hub: Hub, build: Build) -> None:
    slow = build(f"FROM debian:bookworm-slim\nCMD {json.dumps(['perl', '-e', SLOWLY])}")
    assert hub.request("POST", "/users/ada/server", json={"image": slow}).is_success
    (container,) = wait_for(lambda: service.containers("ada"), 60, "the container")
    supervisor.restart_component(service.config, "hub")
    wait_for(service.all_running, 120, "the hub")
    wait_for(lambda: hub.ready("ada"), 180, "the server")
    assert service.container("ada").id == container.id
    hub.stop("ada")
    hub.start("ada", image="base")  # her last choice is not to be one that is removed
    hub.stop("ada")
    nothing_is_left(service)


def test_the_pages_show_what_the_server_says_and_why_it_did_not_start(
    service: Service,
    hub: Hub,
    build: Build,
    person: Callable[[], BrowserContext],
    screenshot: Callable[[Page, str], None],
) -> None:
    script = (
        "echo Looking for JupyterLab; while [ ! -e /tmp/go ]; do sleep 0.1; done;"
        "echo ModuleNotFoundError: No module named jupyterlab >&2; exit 1"
    )
    image = build(f"FROM debian:bookworm-slim\nCMD {json.dumps(['sh', '-c', script])}")
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    page.goto(f"{service.config.public_url}/hub/spawn?own_image={image}")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("What the server says").click()
    said = page.get_by_label("What the server says")
    expect(said).to_have_text("Looking for JupyterLab", timeout=SOON)
    service.container("ada").exec_run(["touch", "/tmp/go"])
    expect(page.get_by_role("heading", name="Your server did not start")).to_be_visible(
        timeout=SOON
    )
    expect(page.get_by_role("alert")).to_contain_text("ended with code 1 instead of starting")
    expect(page.locator("main pre")).to_contain_text("No module named jupyterlab")
    screenshot(page, "failed")
    page.get_by_role("link", name="Back to the server options").click()
    expect(page.get_by_label("Image reference")).to_have_value(image)
    # What fails within a second is said in the form itself.
    missing = build('FROM debian:bookworm-slim\nCMD ["lab"]')
    page.get_by_label("Image reference").fill(missing)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("lacks the program that it says to start")
    nothing_is_left(service)
    hub.start("ada")  # with what worked last
    hub.stop("ada")
