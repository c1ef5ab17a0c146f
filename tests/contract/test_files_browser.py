"""The page of the object store in a real browser, at both widths, light and dark."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Route,
    ViewportSize,
    expect,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

from quaderno.files import BASE, pages
from quaderno.hub import STATIC
from tests.chromium import CHROMIUM
from tests.conftest import PATIENCE
from tests.contract.files_fixtures import World, running_world
from tests.contract.hostile_files import ATTACK, PARQUET, SVG
from tests.contract.storage_fixtures import eventually
from tests.service.barriers import PHONE, serious

JUPYTERHUB = Path(sys.prefix) / "share" / "jupyterhub" / "static"
DESKTOP = ViewportSize(width=1280, height=800)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("files-browser")) as world:
        yield world


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"]
        )
        yield browser
        browser.close()


def _hub_static(route: Route) -> None:
    """What the hub serves for the page's look."""
    path = route.request.url.partition("?")[0]
    ours = path.partition("/hub/quaderno/static/")[2]
    file = STATIC / ours if ours else JUPYTERHUB / path.partition("/hub/static/")[2]
    route.fulfill(path=file)


@pytest.fixture
def context(world: World, chromium: Browser) -> Iterator[BrowserContext]:
    """Alice's browser, logged in."""
    context = chromium.new_context(viewport=DESKTOP, base_url=world.config.public_url)
    context.set_default_timeout(PATIENCE)
    context.add_cookies(
        [
            {"name": c.name, "value": c.value or "", "url": world.config.public_url + BASE}
            for c in world.alice.cookies.jar
        ]
    )
    context.route(re.compile("/hub/(quaderno/)?static/"), _hub_static)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """Whose scripts break neither themselves nor the page's own policy."""
    page, broken = context.new_page(), list[str]()
    page.on("console", lambda said: broken.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: broken.append(str(error)))
    yield page
    assert broken == []


def expect_names(page: Page, *names: str) -> None:
    """Those that are shown, soon."""
    shown = page.locator(".f-list tbody tr:visible .f-name > a")
    expect(shown).to_have_text([re.compile(f"^{re.escape(name)}$") for name in names])


def test_a_folder_is_sorted_filtered_and_searched(world: World, page: Page) -> None:
    for key, size in {"b.csv": 3, "Ä.txt": 1, "z/deep/Straße.png": 5, "z/x": 1, "c.pdf": 2}.items():
        world.s3.put_object(Bucket="alice", Key=f"look/{key}", Body=b"x" * size)
    page.goto(pages.link("", prefix="look/"))
    expect_names(page, "z/", "b.csv", "c.pdf", "Ä.txt")
    page.get_by_role("link", name="Size", exact=True).click()
    expect(page.get_by_role("columnheader", name="Size")).to_have_attribute(
        "aria-sort", "ascending"
    )
    expect_names(page, "z/", "Ä.txt", "c.pdf", "b.csv")
    page.get_by_role("link", name="Size", exact=True).click()
    expect_names(page, "z/", "b.csv", "c.pdf", "Ä.txt")
    page.wait_for_load_state()
    page.keyboard.press("/")
    page.keyboard.type("a\u0308")
    expect(page.get_by_text("1 of 4 on this page")).to_be_visible()
    expect_names(page, "Ä.txt")
    page.get_by_label("Find in this folder").fill("STRASSE")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Find “STRASSE”")).to_be_visible()
    expect_names(page, "Straße.png")
    page.get_by_role("link", name="z/deep/").click()
    expect(page.get_by_role("heading", name="deep")).to_be_visible()


def test_with_the_keyboard_alone(world: World, page: Page) -> None:
    for key in ("keys/1.txt", "keys/2.txt", "keys/3.txt"):
        world.s3.put_object(Bucket="alice", Key=key, Body=b"x")
    page.goto(pages.link("", prefix="keys/"))
    delete = page.get_by_role("button", name="Delete what is chosen")
    expect(delete).to_be_disabled()
    page.get_by_role("link", name="1.txt", exact=True).focus()
    for key in ("ArrowDown", "Space", "End", "Space", "Home"):
        page.keyboard.press(key)
    expect(page.get_by_role("link", name="1.txt", exact=True)).to_be_focused()
    chosen = page.locator(".f-list input[name=key]:checked")
    assert chosen.evaluate_all("boxes => boxes.map(b => b.value)") == ["keys/2.txt", "keys/3.txt"]
    delete.press("Enter")
    page.get_by_role("button", name="Delete", exact=True).press("Enter")
    expect(page.get_by_role("status").filter(has_text="Deleted: 2.txt and 1 more")).to_be_visible()
    expect_names(page, "1.txt")


LOOKS = {
    "data/": 0, "figures/": 0, "analysis.ipynb": 48_200, "events.parquet": 8_412_000,
    "paper.pdf": 912_000, "run.py": 4_100, "spectrum.png": 120_400, "readme.md": 900,
    "results of the second run, with calibration.csv": 77_000,
}  # fmt: skip


def test_it_looks_cared_for_and_has_no_serious_barrier(
    world: World, context: BrowserContext, screenshot: Callable[..., None]
) -> None:
    """In all four looks. axe-core says what is serious, and has styles that the policy refuses."""
    page = context.new_page()
    world.hub.quota = {"used": 24, "limit": 200, "text": "24 GB of 200 GB used"}
    for key, size in LOOKS.items():
        world.s3.put_object(Bucket="alice", Key=f"project/{key}", Body=bytes(size))
    shown = [
        pages.link("", prefix="project/"),
        pages.link("search", wanted="r"),
        pages.link("item", key="project/run.py"),
        pages.link("versions", key="project/run.py"),
        pages.link("buckets"),
        pages.link("links"),
    ]
    alice = world.alice
    alice.submit("new-bucket", name="run-7")
    for person, how in (("bob", "read"), ("bob", "write")):
        shared = alice.submit("share-bucket", bucket="alice--run-7", person=person, how=how)
        assert shared.status_code == 303
    assert alice.submit("share", key="project/run.py", seconds="600").status_code == 200
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for view in (DESKTOP, PHONE):
            page.set_viewport_size(view)
            for address in shown:
                page.goto(address)
                page.wait_for_load_state("networkidle")
                assert serious(page) == []
                width = page.evaluate("document.documentElement.scrollWidth")
                assert width <= view["width"], f"{address} is {width} pixels wide"
        page.goto(shown[0])
        expect(page.get_by_text("24 GB of 200 GB used")).to_be_visible()
        expect(page.get_by_text("of your quota is used")).to_be_hidden()
        screenshot(page, "web-files" if scheme == "light" else "web-files-dark")


def test_the_bar_says_so_from_80_per_cent_on_and_times_are_local(
    world: World, chromium: Browser, context: BrowserContext
) -> None:
    """Of a further bucket, too: its bar is of its own quota."""
    world.hub.quota = {"used": 160, "limit": 200, "text": "160 GB of 200 GB used"}
    world.s3.put_object(Bucket="alice", Key="when/x", Body=b"x")
    stored = world.s3.head_object(Bucket="alice", Key="when/x")["LastModified"]
    far = chromium.new_context(
        timezone_id="Asia/Kathmandu",  # 5:45 ahead, and never an hour more or less
        locale="en-GB",
        storage_state=context.storage_state(),
        base_url=world.config.public_url,
    )
    far.set_default_timeout(PATIENCE)
    far.route(re.compile("/hub/(quaderno/)?static/"), _hub_static)
    page = far.new_page()
    page.goto(pages.link("", prefix="when/"))
    expect(page.get_by_text("80 % or more of your quota is used")).to_be_visible()
    assert page.locator("meter").evaluate("bar => bar.value") == 0.8
    local = stored.astimezone(ZoneInfo("Asia/Kathmandu"))
    expect(page.locator(".f-changed time")).to_contain_text(f"{local:%H:%M}")
    world.alice.submit("new-bucket", name="bar")
    page.goto(pages.link("", area="alice--bar"))
    expect(page.get_by_text("0 bytes of 20 GB used")).to_be_visible()
    expect(page.get_by_text("quota is used")).to_be_hidden()
    far.close()


def test_hostile_files_are_shown_and_do_nothing(world: World, context: BrowserContext) -> None:
    """Wherever they are opened: in the page, or by the addresses of what it shows."""
    code = {"cell_type": "code", "source": ATTACK, "outputs": [
        {"output_type": "stream", "text": ATTACK},
        {"output_type": "display_data", "data": {"text/html": ATTACK + "<b>shown</b>"}},
    ]}  # fmt: skip
    files = {
        "a.md": f"# Heading\n\n{ATTACK}\n\n[go](javascript:fetch('/attacked'))",
        "b.ipynb": json.dumps({"cells": [{"cell_type": "markdown", "source": ATTACK}, code]}),
        "c.csv": f"name,{ATTACK}\n1,2\n",
        "d.html": f"<title>x</title>{ATTACK}",
        "e.svg": SVG,
    }
    for name, content in files.items():
        world.s3.put_object(Bucket="alice", Key=f"bad/{name}", Body=content.encode())
    world.s3.put_object(Bucket="alice", Key="bad/f.parquet", Body=PARQUET)
    page = context.new_page()
    document = page.frame_locator("iframe.f-frame")
    shown = {
        "a.md": document.get_by_role("heading", name="Heading"),
        "b.ipynb": document.get_by_text("shown", exact=True),
        "c.csv": document.get_by_role("cell", name="2", exact=True),
        "d.html": document.get_by_text("<title>x</title>"),
        "e.svg": page.get_by_role("img", name="e.svg"),
        "f.parquet": page.get_by_role("cell", name="<img src=x onerror=alert(1)>"),
    }
    for name, sign in shown.items():
        page.goto(pages.link("item", key=f"bad/{name}"))
        expect(sign).to_be_visible()
        page.wait_for_load_state("networkidle")
    assert page.get_by_text("3 of 3 rows, 3 of 3 columns").is_visible()
    assert page.get_by_text("1152921504606846976").is_visible(), "no number loses digits"
    for name in list(files)[:-1]:
        page.goto(pages.link("preview", key=f"bad/{name}"))
        assert page.evaluate("window.origin") == "null"
    page.goto(pages.link("raw", key="bad/e.svg"))
    page.wait_for_load_state("networkidle")
    page.goto("/attacked-in-the-log")
    eventually(lambda: "/attacked-in-the-log" in world.log.read_text(), 60, "what is asked for")
    assert "/attacked " not in world.log.read_text()


def test_images_and_text_have_previews_and_large_files_a_sentence(
    world: World, page: Page, screenshot: Callable[..., None]
) -> None:
    image = world.config.dir / "page.png"
    page.goto(pages.link(""))
    page.screenshot(path=image)
    world.s3.put_object(Bucket="alice", Key="show/page.png", Body=image.read_bytes())
    world.s3.put_object(Bucket="alice", Key="show/a.md", Body=b"# A page\n\n- one\n- two\n")
    world.s3.put_object(Bucket="alice", Key="show/large.ipynb", Body=bytes(9 << 20))
    world.s3.put_object(Bucket="alice", Key="show/not.parquet", Body=b"PAR1 or not")
    page.goto(pages.link("item", key="show/page.png"))
    shown = page.get_by_role("img", name="page.png")
    expect(shown).to_be_visible()
    assert shown.evaluate("image => image.naturalWidth") == DESKTOP["width"]
    page.goto(pages.link("item", key="show/large.ipynb"))
    expect(page.get_by_text("too large to be shown here")).to_be_visible()
    page.goto(pages.link("item", key="show/not.parquet"))
    expect(page.get_by_text("This is not a Parquet file")).to_be_visible()
    page.goto(pages.link("item", key="show/a.md"))
    expect(page.frame_locator("iframe").get_by_text("two")).to_be_visible()
    screenshot(page, "web-preview")


def test_a_pdf_file_has_a_preview(world: World, page: Page) -> None:
    """Chromium's own viewer, in a frame of the page."""
    page.goto(pages.link(""))
    page.pdf(path=world.config.dir / "page.pdf")
    made = (world.config.dir / "page.pdf").read_bytes()
    world.s3.put_object(Bucket="alice", Key="paper.pdf", Body=made)
    with page.expect_response(re.compile(f"{BASE}raw")) as sent:
        page.goto(pages.link("item", key="paper.pdf"))
    assert sent.value.status == 200
    assert sent.value.headers["content-type"] == "application/pdf"
    assert sent.value.headers["content-disposition"] == "inline"
    frame = page.locator("iframe[title='paper.pdf']")
    expect(frame).to_be_visible()
    assert frame.get_attribute("sandbox") is None, "in one, browsers show no PDF file"


def test_a_name_that_means_something_to_scripts_is_uploaded_like_others(
    world: World, page: Page, tmp_path: Path
) -> None:
    file = tmp_path / "constructor"
    file.write_text("of a class")
    page.goto(pages.link(""))
    page.get_by_role("button", name="Upload", exact=True).click()
    page.locator("input.uppy-Dashboard-input[type=file]").first.set_input_files(file)
    page.get_by_role("button", name="Upload 1 file").click()
    expect(page.get_by_role("link", name="constructor", exact=True)).to_be_visible()
    assert world.s3.get_object(Bucket="alice", Key="constructor")["Body"].read() == b"of a class"


def test_an_upload_goes_on_after_a_lost_connection(
    world: World, context: BrowserContext, tmp_path: Path
) -> None:
    """While a part is on its way; what had arrived is not sent again."""
    file = tmp_path / "lost.bin"
    file.write_bytes(os.urandom(60 << 20))
    page = context.new_page()
    page.goto(pages.link("", prefix="lost/"))
    page.get_by_role("button", name="Upload", exact=True).click()
    page.locator("input.uppy-Dashboard-input[type=file]").first.set_input_files(file)
    sent: list[tuple[str, str]] = []

    def lose_the_connection(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        sent.append((query["uploadId"][0], query["partNumber"][0]))
        if len(sent) == 2:
            context.set_offline(True)
        route.continue_()

    context.route(re.compile("[?&]partNumber="), lose_the_connection)
    page.get_by_role("button", name="Upload 1 file").click()
    expect(page.get_by_role("button", name="Retry upload").first).to_be_visible()
    before = len(sent)
    context.set_offline(False)
    expect(page.get_by_role("link", name="lost.bin", exact=True)).to_be_visible()
    found = world.s3.get_object(Bucket="alice", Key="lost/lost.bin")["Body"].read()
    assert found == file.read_bytes()
    assert len(sent) > before
    assert len({upload for upload, _ in sent}) == 1, "it is the same upload"


def test_an_upload_pauses_goes_on_and_replaces(
    world: World, context: BrowserContext, tmp_path: Path
) -> None:
    """What is there stays until all has come."""
    world.s3.put_object(Bucket="alice", Key="again/a.bin", Body=b"before")
    file = tmp_path / "a.bin"
    file.write_bytes(os.urandom(60 << 20))
    page, paused = context.new_page(), [True]
    page.goto(pages.link("", prefix="again/"))

    def hold(route: Route) -> None:
        if not paused:
            route.continue_()

    context.route(re.compile("[?&]partNumber="), hold)
    page.get_by_role("button", name="Upload", exact=True).click()
    page.locator("input.uppy-Dashboard-input[type=file]").first.set_input_files(file)
    page.get_by_role("button", name="Upload 1 file").click()
    with page.expect_request(re.compile("[?&]partNumber=")):
        page.get_by_role("button", name="Replace").click()
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("Paused", exact=False).first).to_be_visible()
    assert world.s3.get_object(Bucket="alice", Key="again/a.bin")["Body"].read() == b"before"
    paused.clear()
    with page.expect_event("load", timeout=2 * PATIENCE):  # the page shows what has come
        page.get_by_role("button", name="Resume", exact=True).click()
    expect_names(page, "a.bin")
    found = world.s3.get_object(Bucket="alice", Key="again/a.bin")["Body"].read()
    assert found == file.read_bytes()


def test_an_upload_goes_on_after_the_login_was_renewed(
    world: World, context: BrowserContext, tmp_path: Path
) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(60 << 20))  # more than one part
    page = context.new_page()
    page.goto(pages.link("", prefix="up/"))
    page.get_by_role("button", name="Upload", exact=True).click()
    page.locator("input.uppy-Dashboard-input[type=file]").first.set_input_files(file)
    signed: list[str] = []

    def end_the_login(route: Route) -> None:
        signed.append(route.request.post_data or "")
        if len(signed) == 3:  # the upload has begun, and a part is on its way
            context.clear_cookies()
            kept = {k: v for k, v in route.request.headers.items() if k != "cookie"}
            route.continue_(headers=kept)
        else:
            route.continue_()

    context.route(re.compile(f"{BASE}sign$"), end_the_login)
    page.get_by_role("button", name="Upload 1 file").click()
    with page.expect_popup() as login:
        page.get_by_role("button", name="Log in again").click()
    login.value.wait_for_url(re.compile("/hub/api/oauth2/authorize"))
    state = parse_qs(urlsplit(login.value.url).query)["state"][0]
    query = urlencode({"code": "alice", "state": state})  # as the hub sends her back
    with contextlib.suppress(PlaywrightError):  # the window is closed once it is there
        login.value.goto(f"{BASE}oauth_callback?{query}")
    expect(page.get_by_role("link", name="large.bin", exact=True)).to_be_visible()
    found = world.s3.get_object(Bucket="alice", Key="up/large.bin")["Body"].read()
    assert found == file.read_bytes()
