"""A person at a browser without a screen: follows redirects, fills in forms."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

from tests.service.running import PASSWORDS, Service


class Forms(HTMLParser):
    """The forms of a page: action, method, and their fields with values."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.actions: list[str] = []
        self._url = str(page.url)
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {key: value or "" for key, value in attrs}
        if tag == "form":
            self.forms.append({})
            self.actions.append(urljoin(self._url, attributes.get("action", "")))
        elif tag in ("input", "button") and self.forms and attributes.get("name"):
            self.forms[-1][attributes["name"]] = attributes.get("value", "")

    def having(self, field: str) -> tuple[str, dict[str, str]]:
        """The action and fields of the form that has `field`."""
        for action, form in zip(self.actions, self.forms, strict=True):
            if field in form:
                return action, form
        raise AssertionError(f"no form with {field!r} at {self._url}")


def submit(client: httpx.Client, page: httpx.Response, field: str, **values: str) -> httpx.Response:
    """Submit the form that has `field`, with `values`, and follow where it leads."""
    action, form = Forms(page).having(field)
    origin = {"Origin": str(httpx.URL(action).copy_with(path="/")).rstrip("/"), "Referer": action}
    return client.post(action, data=form | values, headers=origin)


def log_in(service: Service, username: str, password: str | None = None) -> httpx.Client:
    """A client that has logged in at the hub, having authorized it the first time."""
    client = httpx.Client(follow_redirects=True, timeout=30)
    page = client.get(service.config.public_url)
    page = submit(
        client, page, "password", login=username, password=password or PASSWORDS[username]
    )
    if not str(page.url).startswith(service.config.public_url):
        page = submit(client, page, "scopes", action="grant")
    assert page.status_code == 200, f"{page.url}: {page.text}"
    assert str(page.url).startswith(service.config.public_url), page.url
    return client
