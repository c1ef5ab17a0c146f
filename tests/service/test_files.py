"""The page of the object store, in a browser: from the login to a link for others."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.service import people
from tests.service.running import Service

Screenshot = Callable[..., None]
PASSWORD = "a-card-catalogue-1791"
SOON = 60_000  # milliseconds


@pytest.fixture(scope="module")
def dora(service: Service) -> str:
    service.register("dora", PASSWORD)
    return "dora"


@pytest.fixture
def page(service: Service, person: Callable[[], BrowserContext], dora: str) -> Page:
    """Dora's, who has logged in and whose scripts may not break the page's own policy."""
    page = person().new_page()
    people.come_in(page, service, dora, PASSWORD)
    return page


def upload(page: Page, *files: Path) -> None:
    """Choose files in the uploader, and send them."""
    page.get_by_role("button", name="Upload", exact=True).click()
    chooser = page.locator("input.uppy-Dashboard-input[type=file]").first
    chooser.set_input_files([str(file) for file in files])
    page.get_by_role("button", name=re.compile(r"^Upload \d+ files?$")).click()


def drop(page: Page, name: str) -> None:
    """Drag a file onto the page, somewhere."""
    script = """name => {
        const dragged = new DataTransfer();
        dragged.items.add(new File(['x'], name));
        return dragged;
    }"""
    dragged = {"dataTransfer": page.evaluate_handle(script, name)}
    page.dispatch_event("h1", "dragenter", dragged)
    expect(page.get_by_text("Drop files here")).to_be_visible(timeout=SOON)
    page.dispatch_event("h1", "drop", dragged)
    page.get_by_role("button", name="Upload 1 file").click()


def test_files_from_the_upload_to_the_link(
    service: Service, page: Page, tmp_path: Path, screenshot: Screenshot
) -> None:
    """No server runs all the while."""
    broken: list[str] = []
    page.on("console", lambda said: broken.append(said.text) if said.type == "error" else None)
    page.get_by_role("link", name="Files", exact=True).click()
    expect(page).to_have_url(f"{service.config.public_url}/services/files/")
    expect(page.get_by_text("Nothing is here.")).to_be_visible()
    files = {"größe #1?.csv": b"a,b\n1,2\n", "run.bin": os.urandom(52 << 20)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    upload(page, *(tmp_path / name for name in files))
    for name in files:
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible(timeout=SOON)
    page.get_by_label("Name of the new folder").fill("results")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("heading", name="results")).to_be_visible()
    folder = tmp_path / "figures"
    (folder / "one").mkdir(parents=True)
    (folder / "one" / "a b.png").write_bytes(b"picture")
    page.get_by_role("button", name="Upload", exact=True).click()
    page.locator("input.uppy-Dashboard-input[webkitdirectory]").set_input_files(str(folder))
    page.get_by_role("button", name="Upload 1 file").click()
    expect(page.get_by_role("link", name="figures/")).to_be_visible(timeout=SOON)
    page.get_by_role("link", name="figures/").click()
    page.get_by_role("link", name="one/").click()
    expect(page.get_by_role("link", name="a b.png", exact=True)).to_be_visible()
    drop(page, "dropped.txt")
    expect(page.get_by_role("link", name="dropped.txt", exact=True)).to_be_visible(timeout=SOON)
    page.get_by_role("link", name="My files").first.click()

    (tmp_path / "run.bin").write_bytes(b"not sent")
    upload(page, tmp_path / "run.bin")
    page.get_by_role("button", name="Skip").click()
    expect(page.get_by_text("Drop files here")).to_be_visible(timeout=SOON)
    page.reload()

    (tmp_path / "run.bin").write_bytes(b"another")
    upload(page, tmp_path / "run.bin")
    page.get_by_role("button", name="Keep both").click()
    second = page.get_by_role("link", name="run (2).bin", exact=True)
    expect(second).to_be_visible(timeout=SOON)
    for link, content in [("run.bin", files["run.bin"]), ("run (2).bin", b"another")]:
        with page.expect_download() as download:
            page.get_by_role("link", name=link, exact=True).click()
        assert download.value.suggested_filename == link
        assert Path(download.value.path()).read_bytes() == content

    page.get_by_role("link", name="More about größe #1?.csv").click()
    expect(page.get_by_text("s3://dora/größe #1?.csv")).to_be_visible()
    page.get_by_label("The link lives for").select_option("300")
    page.get_by_role("button", name="Make a link").click()
    shared = page.get_by_label("Link", exact=True).input_value()
    assert httpx.get(shared, timeout=60).content == files["größe #1?.csv"]
    screenshot(page, "web-file")
    page.get_by_role("button", name="Publish a copy").click()
    expect(page.get_by_role("link", name="größe #1?.csv", exact=True)).to_be_visible()

    page.goto(f"{service.config.public_url}/services/files/")
    page.get_by_label("Choose run (2).bin").check()
    page.get_by_role("button", name="Delete what is chosen").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Deleted: run (2).bin")).to_be_visible()
    expect(second).to_have_count(0)

    page.get_by_role("link", name="Buckets", exact=True).click()
    expect(page.get_by_text("Nobody shares a bucket with you.")).to_be_visible()
    page.get_by_label("Name of a new bucket").fill("run-7")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("status").filter(has_text="Made: run-7")).to_be_visible()
    screenshot(page, "web-buckets")
    page.get_by_role("link", name="run-7", exact=True).click()
    expect(page.get_by_role("heading", name="run-7")).to_be_visible()
    upload(page, tmp_path / "größe #1?.csv")
    there = page.get_by_role("link", name="größe #1?.csv", exact=True)
    expect(there).to_be_visible(timeout=SOON)
    with page.expect_download() as download:
        there.click()
    assert Path(download.value.path()).read_bytes() == files["größe #1?.csv"]
    assert broken == []
