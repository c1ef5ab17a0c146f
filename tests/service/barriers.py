"""What keeps people out who use a keyboard, a screen reader or a phone."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, ViewportSize

PHONE: ViewportSize = {"width": 390, "height": 844}
_TABS = 100  # more than any page has things to go to


def barriers(page: Page) -> list[str]:
    """What axe-core finds that is serious or worse, and whether the page is wider than a phone."""
    before = page.viewport_size
    page.set_viewport_size(PHONE)
    found = serious(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    if before:
        page.set_viewport_size(before)
    return [*found, f"it is {width} pixels wide"] if width > PHONE["width"] else found


def serious(page: Page) -> list[str]:
    """What axe-core finds that is serious or worse, as the page is."""
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in Axe().run(page).response["violations"]
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def tab_to(page: Page, wanted: Locator) -> None:
    """Go to `wanted` as somebody without a mouse does; fails where that is not possible."""
    for _ in range(_TABS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"the keyboard does not reach {wanted}")
