"""How browsers get to their site: by a cookie that hubs set and directors read.

A browser without one, or whose site a director cannot reach, logs in at whatever site it was led
to, and arrives: that hub knows now who it is, asks the others, and names the site where it belongs
in the cookie. Login there asks for nothing, because the identity provider knows the browser. A site
that is in the cookie already has been decided upon, or chosen, and is asked only for a server that
runs elsewhere. A second cookie says that an arrival is under way: without it, a link that somebody
else made leads nobody anywhere.
"""

from http import HTTPStatus
from typing import Any

from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from tornado import web
from tornado.httputil import url_concat

from quaderno.config import Config
from quaderno.hub import placement
from quaderno.hub.named_servers import SPAWN_PAGES, SpawnPage
from quaderno.hub.neighbours import Neighbours
from quaderno.hub.placement import View

_KEPT_FOR = 30  # days: longer than the hub's login, without which it is of no use


def lead_to(handler: BaseHandler, site: str) -> None:
    """Have directors lead this browser to `site`.

    Not to be read by pages, of which people's own are on this origin; and sent when the identity
    provider sends the browser back, which `SameSite=Strict` would prevent.
    """
    if handler.get_cookie(_site_cookie(handler)) != site:
        handler.set_cookie(
            _site_cookie(handler), site, expires_days=_KEPT_FOR, **_cookie_options(handler)
        )


def lead_nowhere(handler: BaseHandler) -> None:
    """Who comes next with this browser is a new visitor."""
    handler.clear_cookie(_site_cookie(handler), **_cookie_options(handler))


def _site_cookie(handler: BaseHandler) -> str:
    config: Config = handler.authenticator.quaderno
    return config.site_cookie


def _arriving_cookie(handler: BaseHandler) -> str:
    """Its value is the site that a director did not reach, or this one."""
    return f"{_site_cookie(handler)}-arriving"


def _cookie_options(handler: BaseHandler) -> dict[str, Any]:
    """The same when one is cleared: browsers ignore who clears a `__Host-` cookie otherwise."""
    config: Config = handler.authenticator.quaderno
    secure = config.public_url.startswith("https://")
    return {"path": "/", "httponly": True, "samesite": "Lax", "secure": secure}


def arrival(handler: BaseHandler, wanted: str | None) -> str | None:
    """Where a login that begins here leads to, when a person wants to go to the path `wanted`."""
    config: Config = handler.authenticator.quaderno
    here = config.sites.name
    if not here or handler.get_cookie(config.site_cookie) == here:
        return wanted
    passed_over = unreachable(handler) or here
    handler.set_cookie(_arriving_cookie(handler), passed_over, **_cookie_options(handler))
    lead_to(handler, here)
    path = url_path_join(handler.hub.base_url, "quaderno", "arrive")
    return url_concat(path, {"next": wanted} if wanted else {})


def unreachable(handler: BaseHandler) -> str:
    """The site that a director should have led this browser to; empty when it is this one."""
    config: Config = handler.authenticator.quaderno
    led_to = handler.get_cookie(config.site_cookie)
    return next((peer.name for peer in config.sites.peers if peer.name == led_to), "")


class ArriveHandler(BaseHandler):
    """`GET /hub/quaderno/arrive?next=`: after a login, on to the site where the person belongs."""

    def initialize(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    @web.authenticated
    async def get(self) -> None:
        user = self.current_user
        passed_over = self.get_cookie(_arriving_cookie(self))
        if passed_over:
            view = await self._neighbours.view(self.db, user.name, shun=(passed_over,))
            lead_to(self, placement.destination(view))
            self.clear_cookie(_arriving_cookie(self), **_cookie_options(self))
        self.redirect(self.get_next_url(user))

    def append_query_parameters(self, url: str, exclude: Any = None) -> str:  # noqa: ARG002
        """Ours are not for the page that comes next."""
        return url


class ChooseHandler(BaseHandler):
    """`POST /hub/quaderno/site`: to another site, because its person says so."""

    @web.authenticated
    def post(self) -> None:
        config: Config = self.authenticator.quaderno
        site = self.get_body_argument("site", "")
        if site not in {member.name for member in config.sites.members}:
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, "There is no such site.")
        lead_to(self, site)
        self.redirect(url_path_join(self.hub.base_url, "spawn"))


class SitesSpawnPage(SpawnPage):
    """The server options, at the site where a server of the person's runs, if one does."""

    _view: View | None = None

    def initialize(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    @web.authenticated
    async def get(self, user_name: str | None = None, server_name: str = "") -> None:
        if user_name in (None, self.current_user.name):
            shun = (unreachable(self),)
            self._view = await self._neighbours.view(self.db, self.current_user.name, shun)
            here = self._view.here.name
            site = placement.running_at(self._view) or here
            lead_to(self, site)
            if site != here:
                self.redirect(self.request.uri)
                return
        await super().get(user_name, server_name)

    def render_template(self, name: str, sync: bool = False, **about: Any) -> Any:
        if self._view and name == "spawn.html":
            about["site"] = placement.news(self._view)
            spawner = about["for_user"].spawner
            spawner.options_elsewhere = placement.options_elsewhere(self._view)
        return super().render_template(name, sync, **about)


def handlers(neighbours: Neighbours) -> list[tuple[Any, ...]]:
    """In the place of JupyterHub's, which come later."""
    kwargs = {"neighbours": neighbours}
    return [
        (r"/quaderno/arrive", ArriveHandler, kwargs),
        (r"/quaderno/site", ChooseHandler),
        *((path, SitesSpawnPage, kwargs) for path in SPAWN_PAGES),
    ]
