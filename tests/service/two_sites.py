"""Two instances of this machine as two sites, and browsers that either director serves."""

import json
import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import docker
import httpx
import psutil
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from quaderno import components, process, supervisor
from quaderno.config import Config, Ports
from tests.chromium import CHROMIUM
from tests.conftest import PATIENCE
from tests.ports import free_ports
from tests.service.link import Link
from tests.service.running import Service, running_service, wait_for

ENDPOINT = "notebooks.example.org"  # a name of no machine: browsers are told where it leads
SITES = ("bari", "cnaf")
ADDRESSES = {"bari": "127.0.0.1", "cnaf": "127.0.0.2"}


@dataclass
class TwoSites:
    """People log in at bari's identity provider, as at one of somebody else's."""

    bari: Service
    cnaf: Service
    links: list[Link]  # between them, both ways, for browsers' requests and for the stores

    def __getitem__(self, name: str) -> Service:
        return {"bari": self.bari, "cnaf": self.cnaf}[name]

    def stored(self, name: str, path: str) -> str:
        """What a site's store has at `path`, below the name of a bucket; asked as root may."""
        port = self[name].config.ports.store_filer
        return httpx.get(f"http://127.0.0.1:{port}/buckets/{path}", timeout=60).text

    def names(self, name: str, directory: str) -> list[str]:
        """What a site's store has in a directory below the name of a bucket."""
        port = self[name].config.ports.store_filer
        url = f"http://127.0.0.1:{port}/buckets/{directory}"
        listed = httpx.get(url, headers={"Accept": "application/json"}, timeout=60).json()
        return [entry["FullPath"].rsplit("/", 1)[1] for entry in listed["Entries"] or []]

    @property
    def url(self) -> str:
        """The endpoint."""
        return self.bari.config.public_url


@contextmanager
def two_sites() -> Iterator[TwoSites]:
    """Both run."""
    count = len(Ports.model_fields)
    first = free_ports(2 * count)
    ports = {"bari": Ports.from_first(first), "cnaf": Ports.from_first(first + count)}
    with ExitStack() as stack:
        links = {
            (name, port): stack.enter_context(
                Link(ADDRESSES[name], getattr(ports[name], port)).serving()
            )
            for name in ports
            for port in ("web", "stores")
        }
        yield from _two_sites(ports, links)


def _two_sites(ports: dict[str, Ports], links: dict[tuple[str, str], Link]) -> Iterator[TwoSites]:
    secret = secrets.token_hex(32)
    oidc = {"client_secret": secrets.token_hex(32)}
    director = ports["bari"].director
    endpoint = f"http://{ENDPOINT}:{director}"

    def members(here: str) -> list[dict[str, Any]]:
        """Each site reaches the other by the links."""
        return [
            {
                "name": name,
                "address": f"http://{ADDRESSES[name]}:{ports[name].web}"
                if name == here
                else f"http://{links[name, 'web'].address}",
                "store": links[name, "stores"].address,
            }
            for name in ports
        ]

    def settings(name: str) -> dict[str, Any]:
        listen, sites = ADDRESSES[name], {"name": name, "secret": secret, "members": members(name)}
        # The lease of a site that is lost is soon over.
        agent = {"lease_time": 30}
        return {"public_url": endpoint, "listen": listen, "sites": sites, "agent": agent}

    provider = {"issuer": f"http://{ADDRESSES['bari']}:{ports['bari'].iam}"}
    with (
        running_service(ports["bari"].web, **settings("bari"), oidc=oidc) as bari,
        running_service(
            ports["cnaf"].web,
            **settings("cnaf"),
            oidc=oidc | provider,
            iam={"embedded": False},
            ports={"director": director},
        ) as cnaf,
    ):
        yield TwoSites(bari, cnaf, list(links.values()))


@contextmanager
def browser_at(site: str, chromium: Browser) -> Iterator[Browser]:
    """A browser for which the endpoint is the director of `site`."""
    browser = chromium.browser_type.launch(
        executable_path=CHROMIUM,
        args=[
            *("--no-sandbox", "--disable-quic", "--disable-background-networking"),
            f"--host-resolver-rules=MAP {ENDPOINT} {ADDRESSES[site]}",
        ],
    )
    try:
        yield browser
    finally:
        browser.close()


def sit_down(browser: Browser, **options: Any) -> BrowserContext:
    """A person at this browser, as patient as all others."""
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    return context


def kill_everything(config: Config) -> None:
    """As when a site loses power: supervisor, components, mounts' programs, people's containers."""
    supervisor_process = supervisor.daemon_pid(config)
    victims = [supervisor_process] if supervisor_process else []
    for component in components.COMPONENTS:
        victims += process.holders(process.lock_path(config, component.name))
    mine = str(config.dir)
    for each in psutil.process_iter(["cmdline"]):
        if "rclone" in " ".join(words := each.info["cmdline"] or []) and mine in " ".join(words):
            victims.append(each.pid)
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    label: dict[str, str | list[str] | bool] = {"label": f"quaderno.instance={config.instance}"}
    for container in docker.from_env().containers.list(filters=label):
        container.kill()


def where(page: Page) -> str:
    """The site whose page this is; empty where no site has answered."""
    for site in SITES:
        if page.get_by_text(f"Site: {site}.").is_visible():
            return site
    return ""


def choose(page: Page, site: str) -> None:
    """Go there, unless it is where the server options are already."""
    here = page.get_by_role("heading", name=f"You are at {site}")
    other = page.get_by_role("button", name=f"Go to {site}")
    wait_for(lambda: offers(page, here.or_(other)), 60, f"an offer of {site}")
    if other.is_visible():
        other.click()
    expect(here).to_be_visible(timeout=60_000)


def offers(page: Page, wanted: Locator) -> bool:
    """Whether a page has `wanted`, which is looked for anew: a site that is slow to answer is not
    offered."""
    if not wanted.is_visible():
        page.reload()
    return wanted.is_visible()


def leads_to(site: str, page: Page, url: str) -> bool:
    """Whether the endpoint leads to the server options of `site` now."""
    page.goto(f"{url}/hub/spawn")
    return where(page) == site and page.get_by_role("heading", name="Server options").is_visible()


def knows(site: Service, other: str, username: str) -> bool:
    """Whether a site remembers who has worked at the other one."""
    known = site.config.dir / "hub" / "neighbours.json"
    return known.exists() and username in json.loads(known.read_text()).get(other, {})
