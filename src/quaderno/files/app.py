"""The program: `python -m quaderno.files.app`, a service of JupyterHub that the hub does not start.

People log in with the hub's OAuth. What they may do here is what the object store allows the keys
that their own token gets them; the program itself may do nothing.
"""

import asyncio
import hashlib
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler
from tornado import web
from tornado.httpserver import HTTPServer

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.files import (
    BASE,
    STATIC,
    browsing,
    bucketing,
    changing,
    linking,
    links,
    pages,
    previewing,
    relaying,
    uploading,
    versioning,
    zipping,
)
from quaderno.files.credentials import Credentials
from quaderno.files.handlers import Handler, Site

LOG = logging.getLogger("quaderno.files")
_THREADS = 32
_MOST_BODY = 1 << 20  # bytes of a request: names and choices, never files


class HealthHandler(web.RequestHandler):
    """200 while the program serves."""

    def get(self) -> None:
        self.finish("ok")


class AwayHandler(web.RequestHandler):
    """What the edge says, with its own status, in the place of the hub or the identity provider
    while they do not answer. The page loads nothing, for there may be nothing to load."""

    def initialize(self, site: Site) -> None:
        self._page = site.templates.get_template("away.html")

    def get(self) -> None:
        self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
        self.set_header("Cache-Control", "no-store")
        if "text/html" in self.request.headers.get("Accept", ""):
            policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
            self.set_header("Content-Security-Policy", policy)
            # Seconds; asked for once, as an address may be good once.
            self.set_header("Refresh", "5")
            self.finish(self._page.render())
        else:
            self.finish({"message": "The service is not there now: try again in a moment."})


class CallbackHandler(Handler, HubOAuthCallbackHandler):
    """The end of a login, whose failures are pages like all others."""

    async def prepare(self) -> None:
        """Nobody is logged in yet."""


class NotFoundHandler(Handler):
    """Any other address."""

    async def prepare(self) -> None:
        raise web.HTTPError(404)


def hub_auth(config: Config) -> HubOAuth:
    """The hub as the place to log in; cookies as the hub's."""
    https = config.public_url.startswith("https://")
    return HubOAuth.instance(
        api_url=f"http://127.0.0.1:{config.ports.hub}/hub/api",
        api_token=config.files.client_secret.get_secret_value(),
        base_url=BASE,
        hub_prefix="/hub/",
        oauth_client_id="service-files",
        access_scopes={"access:services!service=files"},
        cookie_options={"SameSite": "Lax", "Secure": https},
        cookie_host_prefix_enabled=https,
        cache_max_age=60,
    )


def application(config: Config, site: Site) -> web.Application:
    """All pages."""
    secret = config.files.client_secret.get_secret_value()
    shared = {"site": site}
    routes: list[Any] = [
        ("health", HealthHandler, {}),
        ("away", AwayHandler, shared),
        ("oauth_callback", CallbackHandler, shared),
        ("", browsing.FolderHandler, shared),
        ("search", browsing.SearchHandler, shared),
        ("usage", browsing.UsageHandler, shared),
        ("item", browsing.ItemHandler, shared),
        ("download", browsing.DownloadHandler, shared),
        ("preview", previewing.PreviewHandler, shared),
        ("raw", previewing.RawHandler, shared),
        ("zip", zipping.ZipHandler, shared),
        ("buckets", bucketing.BucketsHandler, shared),
        ("new-bucket", bucketing.NewBucketHandler, shared),
        ("delete-bucket", bucketing.DeleteBucketHandler, shared),
        ("share-bucket", bucketing.ShareBucketHandler, shared),
        ("share", linking.ShareHandler, shared),
        ("shared", linking.SharedHandler, shared),
        ("links", linking.LinksHandler, shared),
        ("take-back", linking.TakeBackHandler, shared),
        ("new-folder", changing.NewFolderHandler, shared),
        ("delete", changing.DeleteHandler, shared),
        ("transfer", changing.TransferHandler, shared),
        ("publish", changing.PublishHandler, shared),
        ("versions", versioning.VersionsHandler, shared),
        ("keep", versioning.KeepHandler, shared),
        ("restore", versioning.RestoreHandler, shared),
        ("undo", versioning.UndoHandler, shared),
        ("sign", uploading.SignHandler, shared),
        ("relay", relaying.RelayHandler, shared),
        ("taken", uploading.TakenHandler, shared),
        ("static/(.*)", web.StaticFileHandler, {"path": str(STATIC)}),
    ]
    return web.Application(
        [(f"{BASE}{path}", handler, arguments) for path, handler, arguments in routes],
        default_handler_class=NotFoundHandler,
        default_handler_args=shared,
        document_policy=pages.document_policy(config),
        security_policy=pages.security_policy(config),
        cookie_secret=hashlib.sha256(b"cookies of quaderno.files" + secret.encode()).digest(),
        xsrf_cookies=True,
        log_function=_log,
    )


def _log(handler: web.RequestHandler) -> None:
    """Without queries, which hold names of files, and codes of logins."""
    request = handler.request
    level = logging.INFO if handler.get_status() < 500 else logging.ERROR
    if request.path != f"{BASE}health":
        milliseconds = 1000 * request.request_time()
        line = "%d %s %s %.0f ms"
        LOG.log(level, line, handler.get_status(), request.method, request.path, milliseconds)


async def serve(config: Config) -> None:
    """Until SIGTERM."""
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    auth = hub_auth(config)
    async with (
        httpx.AsyncClient(base_url=auth.api_url, trust_env=False) as hub,
        httpx.AsyncClient(timeout=httpx.Timeout(20, connect=3, pool=None)) as streams,
        httpx.AsyncClient(
            timeout=httpx.Timeout(20, connect=3, pool=links.WAIT),
            limits=httpx.Limits(max_connections=links.AT_ONCE),
        ) as for_links,
    ):
        site = Site(
            config,
            Credentials(config, hub),
            pages.environment(config),
            ThreadPoolExecutor(_THREADS, "store"),
            streams,
            for_links,
        )
        server = HTTPServer(
            application(config, site),
            xheaders=True,
            trusted_downstream=["127.0.0.1"],
            max_body_size=_MOST_BODY,
        )
        server.listen(config.ports.files, "127.0.0.1")
        await done.wait()
        server.stop()


def main() -> None:
    """Run with the settings that QUADERNO_CONFIG names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines hold signed addresses
    config = quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))
    asyncio.run(serve(config))


if __name__ == "__main__":
    main()
