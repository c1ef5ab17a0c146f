"""What people and operators are told of files that are not in the object store yet."""

import json
import os
import re
import signal
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from playwright.sync_api import BrowserContext, expect

from quaderno import supervisor
from quaderno.storage import leases, mounts
from quaderno.storage.leases import Lease
from tests.service import http_person, people, s3
from tests.service.running import Hub, Service, wait_for

Screenshot = Callable[..., None]


pytestmark = pytest.mark.usefixtures("adas_server")


def test_files_that_wait_are_told_until_they_are_saved(
    service: Service, person: Callable[[], BrowserContext], screenshot: Screenshot
) -> None:
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    page.goto(f"{service.config.public_url}/hub/home")
    card = page.locator("#storage")
    expect(card).to_contain_text("Everything is saved.", timeout=60_000)
    service.inside("ada", "import os; os.listdir('/workarea/cloud_storage/ada')")
    supervisor.stop_component(service.config, "store")
    try:
        service.inside("ada", "open('/workarea/cloud_storage/ada/told.txt', 'w').write('kept')")
        expect(card).to_contain_text("1 file waits to be saved", timeout=60_000)
        expect(card).to_contain_text("Not in the object store yet: 1 file, 4 bytes")
        screenshot(page, "storage-card")
        status = json.loads(service.quaderno("status", "--json", check=False).stdout)
        (mine,) = [user for user in status["storage"] if user["user"] == "ada"]
        assert (mine["state"], mine["pending"]["files"]) == ("READY", 1)
        told = service.quaderno("status", check=False).stdout
        assert "1 file waits to be saved" in told
    finally:
        supervisor.restart_component(service.config, "store")
    wait_for(service.all_running, 120, "the store")
    expect(card).to_contain_text("Everything is saved.", timeout=60_000)


def test_storage_of_a_lost_machine_is_taken_over_by_a_button(
    service: Service, hub: Hub, person: Callable[[], BrowserContext], screenshot: Screenshot
) -> None:
    files = s3.object_store(service, "ada")
    hub.stop("ada")

    def lease() -> Lease | None:
        return Lease.read(files.read("scratch", leases.key("ada")) or b"")

    wait_for(lambda: (found := lease()) and found.returned, 60, "the return of the lease")
    # The node looks whether that is what is there before it forgets that it had one.
    held_here = mounts.plan(service.config, "ada").lease
    wait_for(lambda: not held_here.exists(), 60, "the node's knowledge of it")
    long_ago = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    lost = Lease("lost", "the-lost-one", long_ago, long_ago, files=2, size=70, lasts=5)
    files.client.put_object(Bucket="scratch", Key=leases.key("ada"), Body=lost.text().encode())
    hub.start("ada")
    page = person().new_page()
    people.log_in(page, service, "ada")
    people.authorize(page)
    page.goto(f"{service.config.public_url}/hub/home")
    card = page.locator("#storage")
    expect(card).to_contain_text(
        "Your storage is in use on the-lost-one since 2026-03-01 09:30 UTC, and 2 files wait there"
    )
    button = card.get_by_role("button", name="Connect my storage here")
    expect(button).to_be_visible(timeout=60_000)
    button.scroll_into_view_if_needed()
    screenshot(page, "take-over", phone=False)
    button.click()
    expect(card).to_contain_text("Everything is saved.", timeout=60_000)
    expect(button).to_be_hidden()
    held = lease()
    assert held is not None
    assert held.name == service.config.node_name


def test_nobody_else_is_told(service: Service) -> None:
    http_person.log_in(service, "bob")
    url = f"{service.config.public_url}/hub/api/quaderno/users/ada/storage"
    code = (
        "import json, os, urllib.request as u, urllib.error\n"
        "def ask(name, method='GET', path=''):\n"
        "    url = f\"{os.environ['JUPYTERHUB_API_URL']}/quaderno/users/{name}/storage{path}\"\n"
        "    head = {'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}\n"
        "    for _ in range(15):\n"
        "        try:\n"
        "            return json.load(u.urlopen(u.Request(url, headers=head, method=method)))\n"
        "        except urllib.error.HTTPError as error:\n"
        "            if error.code != 503: return error.code\n"  # an agent that is slow
        "mine = [ask('ada'), ask('ada', 'POST', '/refresh'), ask('ada', 'POST', '/clean-up')]\n"
        "bobs = [ask('bob'), ask('bob', 'POST', '/clean-up'), ask('bob', 'POST', '/take-over')]\n"
        "print(json.dumps([mine, bobs, ask('ada', 'POST', '/take-over')]))"
    )
    container = service.container("ada")
    environment = json.loads(
        service.inside("ada", "import json, os; print(json.dumps(dict(os.environ)))")[1]
    )
    assert container.status == "running"
    assert environment["JUPYTERHUB_API_TOKEN"]
    mine, of_bob, own = json.loads(service.inside("ada", code)[1])
    assert [answer["user"] for answer in mine] == ["ada"] * 3
    assert not {"cloud_storage", "local", "reason"} & set(mine[0]), "no path of this machine"
    assert mine[0]["local_quota"] is None
    assert of_bob == [403, 403, 403]
    assert own == 409, "no other node has it"
    assert httpx.get(url, timeout=60).status_code == 403


def test_an_agent_that_does_not_answer_is_said_in_a_sentence(service: Service) -> None:
    agent = service.status()["agent"].pid
    assert agent is not None
    url = f"{service.config.public_url}/hub/api/quaderno/users/ada/storage"
    with http_person.logged_in(service, "ada") as ada:
        os.kill(agent, signal.SIGSTOP)
        try:
            answer = ada.get(url, headers=_from_the_page(ada, service))
        finally:
            os.kill(agent, signal.SIGCONT)
    assert answer.status_code == 503
    assert answer.json()["message"] == (
        "How your files are is not known now. Nothing is lost; look again in a moment."
    )


def test_another_site_can_neither_ask_nor_refresh(service: Service) -> None:
    """A page of somebody else's sends the cookies, and cannot read the XSRF token."""
    url = f"{service.config.public_url}/hub/api/quaderno/users/ada/storage"
    with http_person.logged_in(service, "ada") as ada:
        elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        assert ada.get(url, headers=elsewhere).status_code == 403
        for action in ("refresh", "clean-up"):
            assert ada.post(f"{url}/{action}", headers=elsewhere).status_code == 403
        own = _from_the_page(ada, service)
        wait_for(  # an agent that is slow is told as one that does not answer
            lambda: ada.post(f"{url}/refresh", headers=own).json().get("user") == "ada",
            60,
            "the refresh",
        )


def _from_the_page(person: httpx.Client, service: Service) -> dict[str, str]:
    """What the home page's own script sends along."""
    page = person.get(f"{service.config.public_url}/hub/home")
    (token,) = set(re.findall(r'data-xsrf="([^"]+)"', page.text))
    return {"X-XSRFToken": token}
