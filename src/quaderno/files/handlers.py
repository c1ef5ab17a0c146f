"""What all pages have in common: who looks, which area and key they mean, and how errors look."""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import jinja2
from jupyterhub.services.auth import HubOAuthenticated
from tornado import web
from tornado.iostream import StreamClosedError

from quaderno.config import Config
from quaderno.files import BASE, places, problems
from quaderno.files.credentials import RENEW_BEFORE, Credentials
from quaderno.files.places import Area
from quaderno.files.problems import PageError
from quaderno.files.store import Store

LOG = logging.getLogger("quaderno.files")
T = TypeVar("T")


@dataclass(frozen=True)
class Site:
    """What the handlers share."""

    config: Config
    credentials: Credentials
    templates: jinja2.Environment
    threads: ThreadPoolExecutor  # a store that hangs keeps these and no others
    streams: httpx.AsyncClient
    for_links: httpx.AsyncClient  # of those who need no login, so that they hold up nobody else


class Handler(HubOAuthenticated, web.RequestHandler):
    """Somebody who has logged in; every failure becomes a sentence."""

    json_only = False  # answers a script, which wants no page
    in_page = False  # fills a frame or an image of a page, which leads to the login itself

    def initialize(self, site: Site) -> None:
        self.site = site
        self._guest = False

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", self.settings["security_policy"])
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    async def prepare(self) -> None:
        """Know who it is before anything else; whoever only looks is sent to log in."""
        await self.hub_auth.get_user(self, sync=False)  # kept with this request
        if self.current_user is None:
            if self.json_only or self.in_page or self.request.method != "GET":
                raise problems.login_ended()
            self.redirect(self.get_login_url())

    @property
    def person(self) -> str:
        """The username."""
        return str(self.current_user["name"])

    @property
    def areas(self) -> dict[str, Area]:
        """Those that everybody has."""
        return places.areas(self.site.config, self.person)

    def area(self, name: str) -> Area:
        """Raises PageError where there is none of this name."""
        found = self.areas.get(name) or places.further(self.site.config, self.person, name)
        if found is None:
            raise PageError(HTTPStatus.NOT_FOUND, "There is no such area.")
        self._guest = found.guest
        return found

    def place(self) -> tuple[Area, str]:
        """The area and the key of this request; raises PageError."""
        return self.area(self.get_argument("area", "home")), usable(self.text("key"))

    def texts(self, name: str) -> list[str]:
        """The parameters `name` as they came: Tornado would change white space and control
        characters, and so mean another object. Raises PageError."""
        try:
            return [value.decode() for value in self.request.arguments.get(name, ())]
        except UnicodeDecodeError:
            raise PageError(HTTPStatus.BAD_REQUEST, "This name is not valid text.") from None

    def text(self, name: str) -> str:
        """The last of them; empty without any."""
        return (self.texts(name) or [""])[-1]

    async def store(self, life: float = RENEW_BEFORE, guest: bool | None = None) -> Store:
        """The store as this person, with the keys that fit the area asked for last, unless it is
        said whether they are a `guest`'s; raises PageError."""
        token, guest = str(self.hub_auth.get_token(self)), self._guest if guest is None else guest
        return await self.site.credentials.store(self.person, token, life, guest=guest)

    async def ask(self, work: Callable[..., T], *arguments: Any) -> T:
        """What `work` of a store returns, which waits in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.site.threads, work, *arguments)

    def page(self, template: str, **values: Any) -> None:
        """Answer with a page."""
        common: dict[str, Any] = {"person": self.person if self.current_user else ""}
        common["xsrf"] = self.xsrf_token.decode()
        self.finish(self.site.templates.get_template(template).render(common | values))

    def _request_summary(self) -> str:
        """For the log: no names of files, and no codes of logins."""
        return f"{self.request.method} {self.request.path} ({self.request.remote_ip})"

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """What was foreseen needs no trace, nor a browser that went away."""
        if not isinstance(value, PageError | StreamClosedError):
            super().log_exception(typ, value, tb)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Half an answer is cut off, lest anybody take it for a whole one."""
        if not self._headers_written:
            return super().send_error(status_code, **kwargs)
        LOG.warning("cut off: %s", self._request_summary())
        return self.detach().close()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The sentence of a PageError, or one that fits the status."""
        message = self.sentence(status_code, kwargs)
        if self.json_only:
            foreseen = isinstance(kwargs.get("exc_info", (None, None))[1], PageError)
            stale = self.get_status() == HTTPStatus.FORBIDDEN and not foreseen
            ended = self.get_status() == HTTPStatus.UNAUTHORIZED
            self.finish({"message": message, "renew": ended or stale})
        else:
            self.page("error.html", message=message, status=self.get_status(),
                      came_from=self._came_from())  # fmt: skip

    def _came_from(self) -> str:
        """The page of ours whose form or link led here, if it is another; else empty."""
        ours = f"{self.site.config.public_url}{BASE}"
        address = self.request.headers.get("Referer", "")
        same = address.partition("?")[0] == f"{self.site.config.public_url}{self.request.path}"
        return address if address.startswith(ours) and not same else ""

    def sentence(self, status: int, how: dict[str, Any]) -> str:
        """Of the error `how` that is to be told; sets the status of the answer."""
        error = how.get("exc_info", (None, None, None))[1]
        if isinstance(error, PageError):
            self.set_status(error.status)
        return _sentence(error, status)


def usable(key: str) -> str:
    """`key`; raises PageError where the page cannot work with it."""
    problem = places.key_problem(key)
    if problem:
        raise PageError(HTTPStatus.BAD_REQUEST, problem)
    return key


def body(request: Any) -> dict[str, Any]:
    """A script's question; raises PageError when it is not a JSON object."""
    try:
        found = json.loads(request.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise PageError(HTTPStatus.BAD_REQUEST, "This question is not understood.")
    return found


def _sentence(error: Any, status: int) -> str:
    if isinstance(error, PageError):
        return error.message
    if status == HTTPStatus.NOT_FOUND:
        return "There is no such page."
    if status == HTTPStatus.FORBIDDEN:
        return "This page is out of date, or not yours: go back to your files and try again."
    if status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE):
        return problems.hub_away().message
    if status < 500:
        return "This address is incomplete or wrong."
    return "Something went wrong that has no name yet. Nothing of yours was lost by it."
