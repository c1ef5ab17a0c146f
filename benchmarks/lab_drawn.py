"""From the form's Start to JupyterLab drawn in a browser, here and on stock hubs, in alternation.

All have the same limits and machine, and a browser that is logged in. Here it includes every mount;
the stock hubs have none. One has the base image, which starts quickly there, too; the other has it
without what makes it do so.
"""

import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

from playwright.sync_api import BrowserContext, expect, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from benchmarks import stock_hub
from benchmarks.plain_image import PROGRAM, plain_image
from tests.service import people
from tests.service.running import Hub, Service, running_service

ROUNDS = 10
TARGET = 0.5
USER = "ada"
_TRIES = 3
_DRAWN_WITHIN = 60_000  # milliseconds


def run(rounds: int = ROUNDS) -> Iterator[str]:
    """The lines of the report."""
    with running_service() as service, sync_playwright() as playwright:
        servers = service.config.servers
        image = servers.images[0].reference
        token = service.quaderno("token", "create", "bench", "--scope", "servers", "--scope",
                                 "read:users").stdout.strip()  # fmt: skip
        limits = (servers.cpu.default, servers.memory.default)
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-quic"]
        )
        with (
            plain_image(service.config, image) as plain,
            stock_hub.running(image, *limits) as same,
            stock_hub.running(plain, *limits, PROGRAM) as slow,
        ):
            ours = Side(service.config.public_url, token, _at_ours(browser.new_context(), service))
            sides = [ours]
            for url, peers_token in (same, slow):
                sides.append(Side(url, peers_token, _at_stock(browser.new_context(), url)))
            found = [[side.seconds() for side in sides] for _ in range(rounds + 1)]
        browser.close()
    # The first ones warm caches on all sides.
    here, there, plainly = (statistics.median(column) for column in zip(*found[1:], strict=True))
    yield f"from Start to JupyterLab drawn, {rounds} in alternation, medians in seconds:"
    yield f"  quaderno {here:.2f}"
    yield f"  stock hub, same image {there:.2f}   ratio {here / there:.2f}"
    yield f"  stock hub, image without its measures {plainly:.2f}   ratio {here / plainly:.2f}"
    verdict = "holds" if here / plainly <= TARGET else "not"
    yield f"target, the latter ratio {TARGET:g} or less: {verdict}"


def _at_ours(context: BrowserContext, service: Service) -> BrowserContext:
    page = context.new_page()
    people.log_in(page, service, USER)
    people.authorize(page)
    expect(page.get_by_role("heading", name="Server options")).to_be_visible(timeout=60_000)
    page.close()
    return context


def _at_stock(context: BrowserContext, url: str) -> BrowserContext:
    page = context.new_page()
    page.goto(f"{url}/hub/login")
    page.locator("#username_input").fill(USER)
    page.locator("#password_input").fill("of the dummy authenticator")
    page.locator("#login_submit").click()
    page.wait_for_url(re.compile("/hub/spawn"))
    page.close()
    return context


@dataclass
class Side:
    """A hub, and a browser in which ada is logged in there."""

    url: str
    token: str
    browser: BrowserContext

    def seconds(self) -> float:
        """From Start to JupyterLab, whose server is stopped then.

        Chromium drops what it loads when an interface of this machine gets an address, as a new
        server's network does: what that has cut off is no figure of either side.
        """
        for _ in range(_TRIES):
            try:
                return self._once()
            except PlaywrightTimeout:
                continue
            finally:
                Hub(self.url, self.token).stop(USER)
        raise AssertionError(f"{self.url} has not drawn JupyterLab in {_TRIES} tries")

    def _once(self) -> float:
        page = self.browser.new_page()
        try:
            page.goto(f"{self.url}/hub/spawn")
            start = page.locator("#spawn_form [type=submit]")
            start.wait_for()
            begin = time.monotonic()
            start.click()
            page.locator("#jp-main-dock-panel").wait_for(timeout=_DRAWN_WITHIN)
            return time.monotonic() - begin
        finally:
            page.close()
