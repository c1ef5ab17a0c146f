"""The way to the identity provider and back, and what people read when it is blocked."""

from http import HTTPStatus
from typing import Any

from oauthenticator.oauth2 import OAuthCallbackHandler, OAuthLoginHandler, OAuthLogoutHandler
from tornado import web
from tornado.httpclient import HTTPClientError
from tornado.httputil import url_concat

from quaderno.errors import ProviderUnavailableError
from quaderno.hub import site_pages
from quaderno.hub.usernames import UnnamedError


class LoginHandler(OAuthLoginHandler):
    """Sends the browser to the identity provider, found by its issuer URL.

    It is asked each time whether it is there: a browser that is sent to one that does not answer
    is lost, and with it where its owner wanted to go.
    """

    async def get(self) -> None:
        try:
            await self.authenticator.discover(fresh=True)
        except ProviderUnavailableError as error:
            self.log.warning("Nobody can log in: %s", error.message)
            await _show_unreachable(self, self.request.uri)
            return
        super().get()

    def _get_next_url(self) -> str | None:
        return site_pages.arrival(self, super()._get_next_url())


class CallbackHandler(OAuthCallbackHandler):
    """Takes people back from the identity provider."""

    def check_error(self) -> None:
        if self.get_argument("error", "") == "access_denied":
            name = self.authenticator.quaderno.name
            raise web.HTTPError(
                HTTPStatus.FORBIDDEN,
                f"You did not authorize {name} to know who you are, so it cannot let you in.",
            )
        super().check_error()

    async def get(self) -> None:
        """Log in, unless this is the answer to a login that nobody began here.

        It may be a day old, or come by the back button, or from another site; what it carries is
        not looked at. A new login does what the person wanted.
        """
        if self.get_argument("error", "") != "access_denied" and self._is_stray():
            self._begin_anew()
            return
        try:
            await super().get()
        except web.HTTPError as error:
            if error.log_message != self.authenticator.custom_403_message:
                raise
            await self._show_admitted_groups()
        except UnnamedError as error:
            self.log.error("Nobody can log in without a name: %s", error)
            raise web.HTTPError(HTTPStatus.FORBIDDEN, str(error)) from error
        except (HTTPClientError, OSError) as error:
            if refused(error):
                raise web.HTTPError(HTTPStatus.FORBIDDEN, _NOT_ACCEPTED) from error
            self.log.warning("A login cannot be finished: %s", error)
            await _show_unreachable(self, self.get_next_url())

    async def _show_admitted_groups(self) -> None:
        """For somebody who is registered, but in no group that may come in."""
        self.set_status(HTTPStatus.FORBIDDEN)
        groups = self.authenticator.quaderno.oidc.allowed_groups
        self.finish(await self.render_template("not_admitted.html", groups=groups))

    def _is_stray(self) -> bool:
        try:
            self.check_state()
        except web.HTTPError:
            return True
        return False

    def _begin_anew(self) -> None:
        """A browser without any cookie may be new here, or keep none: it is given one to see.

        Raises HTTP 400 where no login could ever end, for want of cookies.
        """
        if self.request.cookies:
            self.redirect(self.hub.base_url)
        elif self.get_argument(_TRIED, ""):
            raise web.HTTPError(HTTPStatus.BAD_REQUEST, _NO_COOKIES)
        else:
            self.set_cookie("quaderno-tried", "1", path=self.hub.base_url, max_age=60)
            self.redirect(url_concat(self.request.path, {_TRIED: "1"}))


class LogoutHandler(OAuthLogoutHandler):
    """Ends the hub's login, and offers to end the provider's."""

    async def handle_logout(self) -> None:
        """Whoever logs in next at this browser may belong to another site."""
        site_pages.lead_nowhere(self)
        await super().handle_logout()

    async def render_logout_page(self) -> None:
        address = await self.authenticator.logout_address()
        self.finish(await self.render_template("logout.html", provider_logout=address))


_TRIED = "cookies"  # the argument of an address to which a cookie should come
_NO_COOKIES = "Your browser sends no cookies. Allow them for this site, then log in again."
_NOT_ACCEPTED = "The login service did not accept this login. Go back and start again."


def refused(error: BaseException) -> bool:
    """Whether the provider answered and said no, rather than being out of order."""
    if not isinstance(error, HTTPClientError):
        return False
    return error.code in (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
    )


async def _show_unreachable(handler: Any, retry_url: str) -> None:
    """A page whose button leads to where the person wanted to go."""
    handler.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
    handler.finish(await handler.render_template("unreachable.html", retry_url=retry_url))
