"""A site that loses power while somebody works there, and the other site behind the same endpoint.

Seconds from the end of everything at one site until a browser that asks the endpoint reads the
other's server options, without a password, and until a cell has run in a new notebook there.
"""

import os
import statistics
import time
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, sync_playwright

from tests.service.people import come_in, run_cell, start_server
from tests.service.running import PASSWORDS, Hub, wait_for
from tests.service.two_sites import (
    TwoSites,
    browser_at,
    choose,
    kill_everything,
    knows,
    leads_to,
    two_sites,
)

TARGET = 30.0  # seconds until the other site
_USER = "bob"
_PATIENCE = 600  # seconds until the benchmark gives up


def run() -> Iterator[str]:
    """The lines of the report."""
    rounds = 5 if os.environ.get("QUADERNO_BENCH") == "full" else 1
    with two_sites() as sites, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        with browser_at("bari", chromium) as browser:
            found = [_lost(sites, browser) for _ in range(rounds)]
        chromium.close()
    yield from report(found)


def report(found: list[tuple[float, float]]) -> Iterator[str]:
    """Of seconds until the other site, and until a notebook works there."""
    led, works = zip(*found, strict=True)
    yield f"site lost {len(found)} times, medians in seconds, longest in parentheses:"
    yield f"  until the endpoint leads to the other {_in_words(led)}"
    yield f"  until a notebook works there {_in_words(works)}"
    verdict = "holds" if max(led) <= TARGET else f"not: {max(led):.1f}"
    yield f"target, the endpoint leads to the other in {TARGET:.0f} s: {verdict}"


def _in_words(seconds: tuple[float, ...]) -> str:
    return f"{statistics.median(seconds):.1f} ({max(seconds):.1f})"


def _lost(sites: TwoSites, browser: Browser) -> tuple[float, float]:
    """One loss of cnaf; afterwards it is back, and the person has no server."""
    context = browser.new_context()
    page = context.new_page()
    come_in(page, sites.bari, _USER, PASSWORDS[_USER])
    choose(page, "cnaf")
    start_server(page, sites.cnaf, _USER)
    wait_for(lambda: knows(sites.bari, "cnaf", _USER), _PATIENCE, "bari's knowledge")
    kill_everything(sites.cnaf.config)
    found = _seconds(sites, page)
    context.close()
    sites.cnaf.quaderno("up", "--detach")
    _stop(sites)
    return found


def _seconds(sites: TwoSites, page: Page) -> tuple[float, float]:
    began = time.monotonic()
    wait_for(lambda: leads_to("bari", page, sites.url), _PATIENCE, "the other site")
    led = time.monotonic() - began
    start_server(page, sites.bari, _USER)
    run_cell(page, "print(6 * 7)", "42")
    return led, time.monotonic() - began


def _stop(sites: TwoSites) -> None:
    scopes = ("--scope", "servers", "--scope", "read:users")
    token = sites.bari.quaderno("token", "create", "bench", *scopes).stdout.strip()
    Hub(sites.bari.config.address, token).stop(_USER)
