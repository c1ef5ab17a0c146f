"""Several servers of one person, with options of their own and the same files."""

import json
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.service import http_person, people
from tests.service.running import Hub, Service, wait_for

HEADING = "Server options: small-one"


@pytest.fixture(scope="module", autouse=True)
def first_server(service: Service, hub: Hub) -> Iterator[None]:
    """Ada's, started anew, whatever ran before; afterwards she has no other."""
    http_person.log_in(service, "ada")
    if hub.running("ada"):
        hub.stop("ada")
    hub.start("ada", image="base", cpu=1, memory="2G")
    service.await_storage("ada")
    yield
    for name in hub.servers("ada"):
        if name:
            hub.request("DELETE", f"/users/ada/servers/{name}", json={"remove": True})
    hub.stop("ada")
    wait_for(lambda: not service.leftovers("ada"), 60, "the end of all servers")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("lab", "“lab” cannot name a server: it is a page of your first server."),
        ("Big", "“Big” cannot name a server: a server's name has 1 to 30 characters"),
        ("a%2F..%2Fb", "cannot name a server"),
        ("%3Cscript%3E", "cannot name a server"),
        ("x" * 31, "cannot name a server"),
    ],
)
def test_names_that_cannot_be_are_refused(
    service: Service, hub: Hub, name: str, sentence: str
) -> None:
    answer = hub.request("POST", f"/users/ada/servers/{name}", json={})
    assert (answer.status_code, sentence in answer.json()["message"]) == (400, True), answer.text
    with http_person.logged_in(service, "ada") as client:
        for path in (f"spawn/ada/{name}", f"quaderno/new-server?name={name}"):
            page = client.get(f"{service.config.public_url}/hub/{path}")
            assert page.status_code == 400
            assert "<script>" not in page.text
    assert list(hub.servers("ada")) == [""]


def test_a_person_has_several_servers(
    service: Service,
    hub: Hub,
    person: Callable[[], BrowserContext],
    screenshot: Callable[..., None],
) -> None:
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    page.wait_for_url(re.compile("/user/ada/"))
    _start_another(page, service)
    # It has options of its own, and the same files.
    code = "open('/workarea/cloud_storage/ada/of-the-first', 'w').write('here')"
    service.inside("ada", code)
    small = service.container("ada", "small-one")
    assert small.attrs["HostConfig"]["Memory"] == 2**30
    assert service.container("ada").attrs["HostConfig"]["Memory"] == 2 * 2**30
    assert _seen_in(small) == "here"
    home = f"{service.config.public_url}/hub/home"
    page.goto(home)
    servers = page.get_by_role("region", name="More servers")
    expect(servers.get_by_role("listitem")).to_contain_text("Running")
    expect(servers.get_by_role("listitem")).to_contain_text("base, 0.5 CPUs, 1G")
    screenshot(page, "named-servers")
    # What exists only there is asked about by the name of the server, and the first one runs on.
    small.exec_run(["python", "-c", "open('/workarea/mine.txt', 'w').write('x')"], user="1000")
    page.get_by_role("button", name="Stop small-one").click()
    dialog = page.get_by_role("dialog", name="Stop small-one")
    expect(dialog).to_contain_text("mine.txt")
    dialog.get_by_role("button", name="Copy to").click()
    expect(servers.get_by_role("listitem")).to_contain_text("Not running", timeout=60_000)
    notice = page.get_by_role("region", name="Last time of small-one")
    expect(notice).to_contain_text("that existed only there was copied")
    assert hub.ready("ada")
    assert service.agent("/users/ada")["state"] == "READY"
    assert _seen_in(service.container("ada")) == "here"
    # The form remembers what this one had.
    page.get_by_role("link", name="Start small-one").click()
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    expect(page.get_by_label("Memory")).to_have_value("1G")
    page.goto(home)
    page.get_by_role("button", name="Remove small-one").click()
    expect(servers.get_by_role("listitem")).to_have_count(0)


def _start_another(page: Page, service: Service) -> None:
    page.goto(f"{service.config.public_url}/hub/home")
    page.get_by_label("Name of another server").fill("small-one")
    page.get_by_role("button", name="Choose its options").click()
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    page.get_by_label("CPUs").select_option("0.5")
    page.get_by_label("Memory").select_option("1G")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(f"{service.config.public_url}/user/ada/small-one/lab**", timeout=60_000)


def _seen_in(container: object) -> str:
    program = (
        "import time\n"
        "for _ in range(300):\n"
        "    try: print(open('/workarea/cloud_storage/ada/of-the-first').read()); break\n"
        "    except OSError: time.sleep(0.1)\n"
    )
    result = container.exec_run(["python", "-c", program])  # type: ignore[attr-defined]
    said: str = result.output.decode()
    return said.strip()


def test_an_operator_sees_the_servers_and_stops_one(service: Service, hub: Hub) -> None:
    options = {"image": "base", "cpu": 0.5, "memory": "1G"}
    assert hub.request("POST", "/users/ada/servers/odd", json=options).is_success
    wait_for(lambda: hub.servers("ada").get("odd", {}).get("ready"), 180, "the server odd")
    listed = json.loads(service.quaderno("server", "list", "--json").stdout)
    image = service.config.servers.images[0].reference
    found = [
        (one["user"], one["server"], one["state"], one["image"], one["cpu"], one["memory"])
        for one in listed
        if one["user"] == "ada"
    ]
    assert found == [
        ("ada", "", "running", image, 1, 2 * 2**30),
        ("ada", "odd", "running", image, 0.5, 2**30),
    ]
    assert "odd" in service.quaderno("server", "list").stdout
    container = service.container("ada", "odd")
    container.exec_run(["python", "-c", "open('/workarea/o.txt', 'w').write('xy')"], user="1000")
    said = service.quaderno("server", "stop", "ada", "odd").stdout
    assert "1 file (2 bytes) that existed only there was copied to cloud_storage/ada/saved" in said
    assert said.endswith("ada's server odd has stopped\n")
    assert "odd" not in hub.servers("ada")
    assert hub.ready("ada")
    for which, called in ((["ada", "odd"], "ada's server odd"), (["nobody"], "nobody's server")):
        again = service.quaderno("server", "stop", *which, check=False)
        assert again.returncode == 1
        assert again.stderr.splitlines() == [
            f"error: {called} does not run",
            "hint: Those that do: quaderno server list",
        ]
    assert hub.request("DELETE", "/users/ada/servers/odd", json={"remove": True}).is_success


def test_there_are_as_many_as_the_limit_says(service: Service, hub: Hub) -> None:
    most = service.config.servers.named_limit
    for number in range(most):
        made = hub.request("PUT", f"/users/ada/servers/s{number}")
        assert made.status_code == 201, made.text
    refused = hub.request("POST", "/users/ada/servers/another", json={})
    assert refused.status_code == 400
    assert f"the maximum of {most} named servers" in refused.json()["message"]
    with http_person.logged_in(service, "ada") as client:
        page = client.get(f"{service.config.public_url}/hub/home").text
    assert "as many as you may have" in page
    assert "Name of another server" not in page
