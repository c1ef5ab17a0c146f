"""The scopes of the hub's own API, and the check that comes before each of its answers."""

from http import HTTPStatus
from typing import Any, ClassVar

from jupyterhub.apihandlers import APIHandler
from jupyterhub.scopes import Scope
from tornado import web

S3_KEYS_SCOPE = "custom:quaderno:s3-keys"
ACCESS_TOKEN_SCOPE = "custom:quaderno:access-token"  # noqa: S105
STORAGE_SCOPE = "custom:quaderno:storage"
WORKAREA_SCOPE = "custom:quaderno:workarea"
LOG_SCOPE = "custom:quaderno:log"
SCOPE_DEFINITIONS = {
    S3_KEYS_SCOPE: {"description": "Short-lived keys for the user's files in the object store"},
    ACCESS_TOKEN_SCOPE: {"description": "The user's access tokens of the identity provider"},
    STORAGE_SCOPE: {"description": "How the user's files are, and showing changes made elsewhere"},
    WORKAREA_SCOPE: {"description": "Names of files that exist only in the user's servers"},
    LOG_SCOPE: {"description": "What the user's servers have printed last, without secrets"},
}
OWN = [f"{scope}!user" for scope in SCOPE_DEFINITIONS]  # what everybody may do with what is theirs


class ScopedHandler(APIHandler):
    """Answers about one person, to whoever has `scope` for them; `what` completes a refusal."""

    scope: ClassVar[str]
    what: ClassVar[str]

    def _find(self, username: str) -> Any:
        """The user of that name. Raises HTTP 403 or 404."""
        granted: Any = self.parsed_scopes.get(self.scope)
        if not (granted == Scope.ALL or (granted and username in granted.get("user", ()))):
            if self.current_user is None:
                raise self._no_token(username)
            # The same answer whether or not the user exists.
            raise web.HTTPError(HTTPStatus.FORBIDDEN, f"These are not your {self.what}.")
        user = self.find_user(username)
        if user is None:
            raise web.HTTPError(HTTPStatus.NOT_FOUND, "No such user.")
        return user

    def _no_token(self, username: str) -> web.HTTPError:
        """JupyterHub takes a valid token for none when the login of its user has ended."""
        token = self.get_token()
        if token and token.user and token.user.name == username:
            return login_ended(username)
        words = "This token is not valid: start the server anew, or get another token."
        return web.HTTPError(HTTPStatus.FORBIDDEN, words)


def login_ended(username: str) -> web.HTTPError:
    """The answer about somebody who must log in before anything else."""
    words = f"The login of {username} has ended: log in again."
    return web.HTTPError(HTTPStatus.FORBIDDEN, words)
