"""Hub handlers that hand out short-lived S3 keys.

A server's token gets its own user's keys, the node agent's token any user's; nobody gets an
identity token, a refresh token or a client secret.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from jupyterhub.apihandlers import APIHandler
from jupyterhub.orm import Service
from jupyterhub.scopes import Scope
from tornado import web

from quaderno.errors import (
    LoginRequiredError,
    ProviderUnavailableError,
    StorageError,
    StorageRefusedError,
)
from quaderno.storage import sts

SCOPE = "custom:quaderno:s3-keys"
SCOPE_DEFINITION = {
    SCOPE: {"description": "Short-lived keys for the user's files in the object store"}
}


class S3KeysHandler(APIHandler):
    """`GET /hub/api/quaderno/users/{name}/s3-keys`: keys in the form that AWS SDKs expect of a
    container credentials provider (AccessKeyId, SecretAccessKey, Token, Expiration).

    For tokens only: what a page of some server could open in a browser must not show keys.
    """

    _accept_cookie_auth = False

    async def get(self, username: str) -> None:
        self._check_scope(username)
        user = self.find_user(username)
        if user is None:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "No such user.")
        try:
            state = await self.authenticator.fresh_auth_state(user)
            keys = await asyncio.to_thread(
                sts.assume_role, self.authenticator.quaderno, state["access_token"], username
            )
        except LoginRequiredError as error:
            raise web.HTTPError(
                HTTPStatus.FORBIDDEN, f"The login of {username} has ended: log in again."
            ) from error
        except StorageRefusedError as error:
            self.log.error("No S3 keys for %s: %s", username, error)
            raise web.HTTPError(
                HTTPStatus.FORBIDDEN, "The object store refused this login: log in again."
            ) from error
        except (ProviderUnavailableError, StorageError) as error:
            self.log.warning("No S3 keys for %s now: %s", username, error)
            raise web.HTTPError(
                HTTPStatus.SERVICE_UNAVAILABLE, "No S3 keys now: try again in a moment."
            ) from error
        self.log.info("S3 keys of %s for %s", username, self._client())
        self.set_header("Cache-Control", "no-store")
        self.write(keys.container_credentials())

    def _check_scope(self, username: str) -> None:
        granted: Any = self.parsed_scopes.get(SCOPE)
        if granted == Scope.ALL or (granted and username in granted.get("user", ())):
            return
        # The same answer whether or not the user exists.
        raise web.HTTPError(HTTPStatus.FORBIDDEN, "These are not your keys.")

    def _client(self) -> str:
        """Who asked: a service, or what a person's token is for (its note names the server)."""
        if isinstance(self.current_user, Service):
            return f"service {self.current_user.name}"
        return str(getattr(self.get_token(), "note", None) or "a token without a note")
