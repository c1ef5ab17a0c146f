"""Two sites behind one endpoint, in a browser: what people see when one is drained, or lost."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from quaderno import supervisor
from tests.service.people import come_in, fill_in_login, run_cell, start_server
from tests.service.running import PASSWORDS, Hub, wait_for
from tests.service.two_sites import (
    ADDRESSES,
    ENDPOINT,
    SITES,
    TwoSites,
    browser_at,
    choose,
    kill_everything,
    knows,
    leads_to,
    sit_down,
    two_sites,
    where,
)

NOTE = "/workarea/cloud_storage/{0}/note.txt"
# Whatever is saved is noted on the node's own disk after it was accepted.
SAVING = """\
import os, threading, time
os.makedirs("/workarea/cloud_storage/bob/loop")
def save():
    with open("/workarea/local/accepted", "w", buffering=1) as accepted:
        for number in range(100_000):
            with open(f"/workarea/cloud_storage/bob/loop/{number}.txt", "w") as file:
                file.write(f"saved as {number}")
            accepted.write(f"{number}\\n")
            time.sleep(0.05)
threading.Thread(target=save).start()
print("saving")
"""


@pytest.fixture(scope="module")
def sites(container_engine: None) -> Iterator[TwoSites]:
    with two_sites() as running:
        yield running


@pytest.fixture(scope="module")
def browser(sites: TwoSites, chromium: Browser) -> Iterator[Browser]:
    """One that bari's director serves."""
    with browser_at("bari", chromium) as running:
        yield running


def save(sites: TwoSites, site: str, username: str, text: str) -> None:
    """In a person's bucket, from their server, as soon as their storage is there."""
    code = f"open({NOTE.format(username)!r}, 'w').write({text!r})"
    wait_for(lambda: sites[site].inside(username, code, check=False)[0] == 0, 60, "the storage")


def cookie(context: BrowserContext) -> dict[str, object]:
    (found,) = [dict(each) for each in context.cookies() if each["name"] == "quaderno-site"]
    return found


@pytest.fixture(scope="module")
def ada(sites: TwoSites, browser: Browser) -> Iterator[BrowserContext]:
    """Her browser; her server runs at cnaf."""
    context = sit_down(browser)
    page = context.new_page()
    come_in(page, sites.bari, "ada", PASSWORDS["ada"])
    assert where(page) in SITES
    choose(page, "cnaf")
    start_server(page, sites.cnaf, "ada")
    yield context
    context.close()


def test_a_running_server_is_found_from_everywhere(
    sites: TwoSites, ada: BrowserContext, browser: Browser, chromium: Browser
) -> None:
    for site in SITES:  # an engine that is slow for a moment makes one unready for as long
        wait_for(lambda site=site: health(sites, site) == (200, {"ready": True}), 60, "readiness")  # type: ignore[misc]
    cookies = cookie(ada)
    assert (cookies["value"], cookies["httpOnly"], cookies["sameSite"], cookies["path"]) == (
        "cnaf",
        True,
        "Lax",
        "/",
    )
    assert sites.cnaf.container("ada").name == f"{sites.cnaf.config.instance}-ada"
    save(sites, "cnaf", "ada", "at cnaf")
    wait_for(lambda: sites.stored("bari", "ada/note.txt") == "at cnaf", 60, "the file at bari")
    wait_for(lambda: 0 <= behind(sites) < 60, 60, "bari's knowledge of how far it is behind")
    # From new browsers, at either director, by a link to the server, and however often.
    with browser_at("cnaf", chromium) as elsewhere:
        for new in (browser, elsewhere):
            context = sit_down(new)
            fresh = context.new_page()
            fresh.goto(f"{sites.url}/user/ada/lab")
            fill_in_login(fresh, "ada", PASSWORDS["ada"])
            fresh.wait_for_url(f"{sites.url}/user/ada/lab**", timeout=60_000)
            expect(fresh.locator("#jp-main-dock-panel")).to_be_visible(timeout=60_000)
            assert cookie(context)["value"] == "cnaf"
            # Whoever says otherwise is brought back.
            there = cookie(context) | {"value": "bari"}
            context.add_cookies([there])  # type: ignore[list-item]
            fresh.goto(f"{sites.url}/hub/spawn")
            fresh.wait_for_url(f"{sites.url}/user/ada/lab**", timeout=60_000)
            context.close()


def health(sites: TwoSites, site: str) -> tuple[int, dict[str, bool]]:
    """Status and answer of a site that is asked whether it can start servers."""
    answer = httpx.get(f"{sites[site].config.address}/health", timeout=60)
    return answer.status_code, answer.json()


def behind(sites: TwoSites) -> float:
    """By how many seconds bari is behind cnaf; less than none where it does not know."""
    told = json.loads(sites.bari.quaderno("status", "--json", check=False).stdout)["replication"]
    assert told["source"] == "cnaf"
    return -1.0 if told["behind"] is None else float(told["behind"])


def states(sites: TwoSites, site: str) -> list[str]:
    """How a site sees itself and the other one, in the order of their names."""
    listed = json.loads(sites[site].quaderno("site", "list", "--json").stdout)
    return [each["state"] for each in listed]


def test_a_link_that_somebody_else_made_leads_to_no_other_site(
    sites: TwoSites, ada: BrowserContext
) -> None:
    page = ada.new_page()
    page.goto(f"{sites.url}/hub/quaderno/arrive?not=cnaf&next=%2Fhub%2Fhome")
    expect(page).to_have_url(f"{sites.url}/hub/home")
    without_its_token = """fetch('/hub/quaderno/site',
        {method: 'POST', body: new URLSearchParams({site: 'bari'})}).then(it => it.status)"""
    assert page.evaluate(without_its_token) == 403
    assert cookie(ada)["value"] == "cnaf"
    page.goto(f"{sites.url}/hub/quaderno/arrive?next=https:%2F%2Felsewhere.example.org")
    assert page.url.startswith(sites.url)
    page.close()


@pytest.mark.usefixtures("ada")
def test_who_works_at_a_site_whose_hub_is_away_stays_there(sites: TwoSites) -> None:
    supervisor.stop_component(sites.cnaf.config, "hub")
    try:
        wait_for(lambda: led_to(sites) == {"bari"}, 120, "the director's notice")
        assert get(sites, "/user/ada/api", "cnaf").json()["version"]
        assert get(sites, "/health", "cnaf").status_code == 502
    finally:
        supervisor.restart_component(sites.cnaf.config, "hub")
    wait_for(lambda: led_to(sites) == set(SITES), 120, "the hub")


def get(sites: TwoSites, path: str, cookie: str = "", director: str = "bari") -> httpx.Response:
    """The answer of a director to a browser with this cookie, which waits for a hub."""
    url = sites.url.replace(ENDPOINT, ADDRESSES[director])
    return httpx.get(f"{url}{path}", headers={"Cookie": f"quaderno-site={cookie}"}, timeout=60)


def leads_to_adas_server(sites: TwoSites) -> bool:
    """Whether bari's director brings a browser of cnaf there."""
    answer = get(sites, "/user/ada/api", "cnaf")
    return answer.is_success and "version" in answer.text


def led_to(sites: TwoSites, director: str = "bari") -> set[str]:
    """Where some new browsers are sent for their login."""
    answers = [get(sites, "/hub/oauth_login", director=director) for _ in range(6)]
    return {answer.cookies.get("quaderno-site") or "" for answer in answers}


@pytest.mark.usefixtures("ada")
def test_sites_go_on_without_the_link_between_them(sites: TwoSites) -> None:
    save(sites, "cnaf", "ada", "before the cut")
    wait_for(lambda: sites.stored("bari", "ada/note.txt") == "before the cut", 60, "the file")
    for link in sites.links:
        link.cut()
    try:
        for director in SITES:
            alone = f"{director} by itself"
            wait_for(lambda director=director: led_to(sites, director) == {director}, 60, alone)  # type: ignore[misc]
        # Whoever works at cnaf goes on by its director, and saves; bari takes it for lost.
        assert get(sites, "/user/ada/api", "cnaf", director="cnaf").json()["version"]
        save(sites, "cnaf", "ada", "during the cut")
        wait_for(lambda: sites.stored("cnaf", "ada/note.txt") == "during the cut", 60, "the save")
        store(sites, "bari", "ada/other.txt", "at bari, during the cut")
        told = ["ready", "does not answer"]
        wait_for(lambda: states(sites, "bari") == told, 60, "what bari says of the sites")
        assert sites.stored("bari", "ada/note.txt") == "before the cut"
    finally:
        for link in sites.links:
            link.mend()
    mended = time.monotonic()
    wait_for(lambda: sites.stored("bari", "ada/note.txt") == "during the cut", 120, "her file")
    wait_for(
        lambda: sites.stored("cnaf", "ada/other.txt") == "at bari, during the cut", 120, "the other"
    )
    print(f"all is at both sites {time.monotonic() - mended:.1f} s after the link is back")  # noqa: T201
    wait_for(lambda: led_to(sites) == set(SITES), 60, "both sites")
    # Whether cnaf's edge answers, the director asks apart from whether cnaf is ready.
    wait_for(lambda: leads_to_adas_server(sites), 60, "the way to ada's server")


def store(sites: TwoSites, site: str, path: str, text: str) -> None:
    """An object at a site, as somebody else's work there."""
    port = sites[site].config.ports.store_filer
    url = f"http://127.0.0.1:{port}/buckets/{path}"
    httpx.put(url, content=text, timeout=60).raise_for_status()


@pytest.mark.usefixtures("ada")
def test_the_other_director_serves_while_one_is_killed(sites: TwoSites) -> None:
    before = sites.bari.status()["director"].pid
    assert before
    os.kill(before, signal.SIGKILL)
    assert get(sites, "/user/ada/api", "cnaf", director="cnaf").json()["version"]
    wait_for(lambda: sites.bari.status()["director"].pid not in (None, before), 60, "another")
    wait_for(sites.bari.all_running, 60, "bari's director")
    wait_for(lambda: leads_to_adas_server(sites), 60, "the way to ada's server")


@pytest.mark.usefixtures("ada")
def test_nobody_new_is_led_to_a_drained_site(sites: TwoSites, browser: Browser) -> None:
    sites.bari.quaderno("site", "drain", "cnaf")
    told = ["ready", "drained for maintenance"]
    wait_for(lambda: states(sites, "cnaf") == told, 60, "what cnaf says of the sites")
    assert health(sites, "cnaf") == (503, {"ready": False})
    for _ in range(2):
        context = sit_down(browser)
        page = context.new_page()
        come_in(page, sites.bari, "bob", PASSWORDS["bob"])
        assert where(page) == "bari"
        expect(page.get_by_role("button", name="Go to cnaf")).to_have_count(0)
        context.close()
    # Ada's server runs there.
    context = sit_down(browser)
    page = context.new_page()
    page.goto(f"{sites.url}/user/ada/lab")
    fill_in_login(page, "ada", PASSWORDS["ada"])
    expect(page.locator("#jp-main-dock-panel")).to_be_visible(timeout=60_000)
    context.close()
    sites.cnaf.quaderno("site", "undrain", "cnaf")
    wait_for(lambda: "drained" not in sites.bari.quaderno("site", "list").stdout, 30, "the return")


def test_a_site_is_lost_and_comes_back(
    sites: TwoSites, browser: Browser, chromium: Browser, screenshot: Callable[..., None]
) -> None:
    context = sit_down(browser)
    page = context.new_page()
    come_in(page, sites.bari, "bob", PASSWORDS["bob"])
    choose(page, "cnaf")
    page.get_by_label("CPUs").select_option("0.5")  # the default is 1
    start_server(page, sites.cnaf, "bob")
    wait_for(lambda: knows(sites.bari, "cnaf", "bob"), 60, "bari's knowledge")

    save(sites, "cnaf", "bob", "before the loss")
    wait_for(lambda: sites.stored("bari", "bob/note.txt") == "before the loss", 60, "the file")
    run_cell(page, SAVING, "saving")
    wait_for(lambda: len(accepted(sites)) > 20, 60, "what is saved in a loop")
    # It comes some seconds later. Without it, bari takes the storage and asks nobody.
    wait_for(lambda: unsaved(sites, "bari", "bob"), 60, "bari's knowledge of unsaved files")
    # Somebody is about to log in there.
    beginning = sit_down(browser)
    beginning.add_cookies([{"name": "quaderno-site", "value": "cnaf", "url": sites.url}])
    login = beginning.new_page()
    login.goto(sites.url)
    expect(login.get_by_label("Password")).to_be_visible()

    # While files are saved, of which the last ones are nowhere else.
    supervisor.stop_component(sites.cnaf.config, "store")
    save(sites, "cnaf", "bob", "accepted at cnaf")
    so_far = len(accepted(sites))
    wait_for(lambda: len(accepted(sites)) > so_far + 20, 60, "what cannot be uploaded")
    kill_everything(sites.cnaf.config)
    lost = time.monotonic()
    wait_for(lambda: leads_to("bari", page, sites.url), 60, "the other site, without a password")
    led = time.monotonic() - lost
    lost_site = page.get_by_text("Your last server was at cnaf, which does not answer now")
    expect(lost_site).to_be_visible()
    expect(page.get_by_label("CPUs")).to_have_value("0.5")
    screenshot(page, "site-lost")
    fill_in_login(login, "ada", PASSWORDS["ada"])
    consent = login.get_by_role("button", name="Authorize")
    options = login.get_by_role("heading", name="Server options")
    expect(consent.or_(options)).to_be_visible(timeout=60_000)
    if consent.is_visible():
        consent.click()
    expect(options).to_be_visible(timeout=60_000)
    assert (where(login), cookie(beginning)["value"]) == ("bari", "bari")
    beginning.close()
    start_server(page, sites.bari, "bob")
    run_cell(page, "print(6 * 7)", "42")
    print(f"other site after {led:.1f} s, a notebook after {time.monotonic() - lost:.1f} s")  # noqa: T201

    page.goto(f"{sites.url}/hub/home")
    page.get_by_role("button", name="Connect my storage here").click(timeout=120_000)
    read = f"print(open({NOTE.format('bob')!r}).read())"
    wait_for(
        lambda: sites.bari.inside("bob", read, check=False) == (0, "before the loss"),
        180,
        "bob's files at bari",
    )

    save(sites, "bari", "bob", "changed at bari")

    # It returns, and nobody is moved; its director serves as well as bari's.
    sites.cnaf.quaderno("up", "--detach")
    page.goto(f"{sites.url}/hub/spawn")
    page.wait_for_url(f"{sites.url}/user/bob/lab**", timeout=60_000)
    assert cookie(context)["value"] == "bari"
    supervisor.stop_component(sites.bari.config, "director")
    with browser_at("cnaf", chromium) as elsewhere:
        moved = sit_down(elsewhere, storage_state=context.storage_state())
        again = moved.new_page()
        again.goto(f"{sites.url}/user/bob/lab")
        expect(again.locator("#jp-main-dock-panel")).to_be_visible(timeout=60_000)
        moved.close()
    supervisor.restart_component(sites.bari.config, "director")
    wait_for(sites.bari.all_running, 60, "bari's director")
    assert_nothing_is_lost(sites, page)
    context.close()


def unsaved(sites: TwoSites, site: str, username: str) -> int:
    """How many files wait elsewhere, as a person's lease says that a site's store has."""
    lease = sites.stored(site, f"scratch/{username}/.quaderno/lease.json")
    return int(json.loads(lease)["dirty"]["files"]) if lease else 0


def accepted(sites: TwoSites) -> list[str]:
    """The numbers of bob's files whose saving at cnaf has returned."""
    noted = sites.cnaf.config.local / "bob" / "accepted"
    return noted.read_text().splitlines() if noted.exists() else []


def assert_nothing_is_lost(sites: TwoSites, page: Page) -> None:
    """What cnaf had accepted comes when bob's storage is free, and nothing is overwritten by it."""
    scopes = ("--scope", "servers", "--scope", "read:users")
    token = sites.bari.quaderno("token", "create", "tests", *scopes).stdout.strip()
    hub = Hub(sites.bari.config.address, token)
    hub.stop("bob")
    numbers = accepted(sites)
    for site in SITES:
        wait_for(
            lambda site=site: not missing(sites, site, numbers),  # type: ignore[misc]
            240,
            f"all that was accepted at {site}",
        )
    print(f"{len(numbers)} writes accepted, {len(numbers)} found at both sites")  # noqa: T201
    assert {sites.stored(site, "bob/note.txt") for site in SITES} == {"changed at bari"}
    for site in SITES:
        beside = wait_for(lambda site=site: copies(sites, site), 60, f"the copy at {site}")  # type: ignore[misc]
        assert list(beside.values()) == ["accepted at cnaf"]
    hub.start("bob")
    page.goto(f"{sites.url}/hub/home")
    told = page.get_by_text("A file was changed at two sites, so both versions are kept")
    expect(told).to_contain_text("cloud_storage/bob/note.txt.conflict-cnaf-", timeout=120_000)


def missing(sites: TwoSites, site: str, numbers: list[str]) -> list[str]:
    return [
        number
        for number in numbers
        if sites.stored(site, f"bob/loop/{number}.txt") != f"saved as {number}"
    ]


def copies(sites: TwoSites, site: str) -> dict[str, str]:
    """Contents of what is kept beside bob's note, by name."""
    names = [name for name in sites.names(site, "bob/") if name.startswith("note.txt.conflict-")]
    return {name: sites.stored(site, f"bob/{name}") for name in names}
