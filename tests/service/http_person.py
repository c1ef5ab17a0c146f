"""A person at a browser without a screen: follows redirects, fills in forms."""

from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

from tests.service.running import PASSWORDS, Service

Fields = dict[str, list[str]]


class Forms(HTMLParser):
    """The forms of a page: where each goes, and its fields with their values."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.forms: list[tuple[str, Fields]] = []
        self._url = str(page.url)
        self.feed(page.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {key: value or "" for key, value in attrs}
        name = attributes.get("name")
        if tag == "form":
            self.forms.append((urljoin(self._url, attributes.get("action", "")), {}))
        elif tag == "input" and self.forms and name:
            self.forms[-1][1].setdefault(name, []).append(attributes.get("value", ""))

    def having(self, field: str) -> tuple[str, Fields]:
        """The target and fields of the form that has `field`."""
        for target, fields in self.forms:
            if field in fields:
                return target, fields
        raise AssertionError(f"no form with {field!r} at {self._url}")


def submit(client: httpx.Client, page: httpx.Response, field: str, **values: str) -> httpx.Response:
    """Submit the form that has `field`, with `values`, as a browser on `page` would."""
    target, fields = Forms(page).having(field)
    origin = f"{page.url.scheme}://{page.url.netloc.decode()}"
    headers = {"Origin": origin, "Referer": str(page.url)}
    return client.post(target, data={**fields, **values}, headers=headers)


@contextmanager
def logged_in(
    service: Service, username: str, password: str | None = None
) -> Iterator[httpx.Client]:
    """A client that has logged in at the hub and authorized it."""
    with httpx.Client(follow_redirects=True, timeout=60) as client:
        _log_in(client, service, username, password or PASSWORDS[username])
        yield client


def log_in(service: Service, username: str, password: str | None = None) -> None:
    """Log in once, so that the hub knows `username`."""
    with logged_in(service, username, password):
        pass


def _log_in(client: httpx.Client, service: Service, username: str, password: str) -> None:
    page = client.get(service.config.public_url)
    page = submit(client, page, "password", login=username, password=password)
    if not str(page.url).startswith(service.config.public_url):
        page = submit(client, page, "scopes", action="grant")
    assert page.status_code == 200, f"{page.url}: {page.text}"
    assert str(page.url).startswith(service.config.public_url), page.url
