"""People's running servers, for an operator. `python -m quaderno.hub.running_servers list|stop`.

Asks the hub that runs, by its REST API: what stops a server there looks after its files. The token
is of a service that the hub's configuration declares, made for one call and ended after it.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
from jupyterhub import orm, scopes
from jupyterhub.utils import utcnow

from quaderno.config import Config
from quaderno.errors import ComponentError
from quaderno.hub import capacity, database, program
from quaderno.hub.scoped import SCOPE_DEFINITIONS, WORKAREA_SCOPE

NAME = "operator"
SCOPES = ["list:users", "read:users:name", "read:servers", "delete:servers", WORKAREA_SCOPE]
_WITHIN = 300.0  # seconds for an answer: a stop comes back when files are copied
_STOPPED_IN = 900.0  # seconds
_LOOK_EVERY = 0.5
_TOKEN_LIFE = 1800  # seconds, should this program not come to end it
_PAGE = "application/jupyterhub-pagination+json"


def services() -> list[dict[str, Any]]:
    """For `c.JupyterHub.services`."""
    return [{"name": NAME, "display": False}]


def roles() -> list[dict[str, Any]]:
    """For `c.JupyterHub.load_roles`."""
    own_name = f"read:services:name!service={NAME}"
    return [{"name": NAME, "services": [NAME], "scopes": [*SCOPES, own_name]}]


class Hub:
    """The hub's API. Every method raises ComponentError when the hub does not answer or refuses."""

    def __init__(self, config: Config, token: str) -> None:
        self._config = config
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{config.ports.hub}/hub/api",
            headers={"Authorization": f"token {token}"},
            timeout=_WITHIN,
            trust_env=False,
        )

    def running(self) -> list[dict[str, Any]]:
        """All servers that run, start or stop."""
        found: list[dict[str, Any]] = []
        offset: int | None = 0
        while offset is not None:
            query = {"state": "active", "offset": offset}
            page = self._ask("GET", "/users", params=query, headers={"Accept": _PAGE}).json()
            for person in page["items"]:
                found += [self._told(person["name"], each) for each in person["servers"].values()]
            following = page["_pagination"]["next"]
            offset = following["offset"] if following else None
        return sorted(found, key=lambda server: (server["user"], server["server"]))

    def _told(self, user: str, server: dict[str, Any]) -> dict[str, Any]:
        has = capacity.given(self._config, server["user_options"] or {})
        return {
            "user": user,
            "server": server["name"],
            "state": _state_of(server),
            "image": has.image,
            "cpu": has.cpu,
            "memory": has.memory,
            "gpu": has.gpu,
            "since": server["started"],
            "last_activity": server["last_activity"],
        }

    def stop(self, user: str, name: str) -> list[str]:
        """Stop a server, and wait for its end; sentences about its files."""
        before = self._state(user, name)
        if before is None:
            raise ComponentError(
                f"{_called(user, name)} does not run", "Those that do: quaderno server list"
            )
        person = quote(user, safe="")
        server = f"servers/{quote(name, safe='')}" if name else "server"
        answer = self._ask("DELETE", f"/users/{person}/{server}")
        if answer.status_code == HTTPStatus.ACCEPTED:
            self._wait_for_end(user, name)
        if before == "starting":
            return []
        path = f"/quaderno/users/{person}/workarea/notice"
        notice = self._ask("GET", path, params={"server": name}).json()["notice"] or {}
        # The first says who stopped it.
        return [*notice.get("sentences", [])[1:], *notice.get("files", [])]

    def _wait_for_end(self, user: str, name: str) -> None:
        deadline = time.monotonic() + _STOPPED_IN
        while (state := self._state(user, name)) is not None:
            if state == "running" or time.monotonic() > deadline:
                raise ComponentError(
                    f"{_called(user, name)} has not stopped", "Its log says more: hub.log"
                )
            time.sleep(_LOOK_EVERY)

    def _state(self, user: str, name: str) -> str | None:
        """Of a server; None if it does not run."""
        person = self._ask("GET", f"/users/{quote(user, safe='')}", may_lack=True).json()
        server = person.get("servers", {}).get(name)
        return _state_of(server) if server else None

    def _ask(
        self, method: str, path: str, *, may_lack: bool = False, **kwargs: Any
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise ComponentError("the hub does not answer", "quaderno status") from error
        if answer.is_error and not (may_lack and answer.status_code == HTTPStatus.NOT_FOUND):
            raise ComponentError(
                f"the hub refuses, with HTTP {answer.status_code}", "Its log says more: hub.log"
            )
        return answer


def _state_of(server: dict[str, Any]) -> str:
    return {"stop": "stopping", None: "running"}.get(server["pending"], "starting")


def _called(user: str, name: str) -> str:
    return f"{user}'s server {name}".rstrip()


@contextmanager
def _token(config: Config) -> Iterator[str]:
    """Good until the end of the block. Raises ComponentError."""
    scopes.define_custom_scopes(SCOPE_DEFINITIONS)
    with orm.new_session_factory(database.url(config))() as session:
        service = orm.Service.find(session, NAME)
        if service is None:
            raise ComponentError("the hub has not started with this version yet", "quaderno up")
        token = service.new_api_token(
            note="quaderno server", scopes=set(SCOPES), expires_in=_TOKEN_LIFE
        )
        made = orm.APIToken.find(session, token)
        try:
            yield token
        finally:
            # As in `tokens.revoke`: a hub that runs may know the row.
            made.expires_at = utcnow(with_tz=False)
            session.commit()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    stop = commands.add_parser("stop")
    stop.add_argument("user")
    stop.add_argument("name", nargs="?", default="")
    arguments = parser.parse_args()

    def work(config: Config) -> None:
        with _token(config) as token:
            hub = Hub(config, token)
            if arguments.command == "list":
                json.dump(hub.running(), sys.stdout)
            else:
                json.dump(hub.stop(arguments.user, arguments.name), sys.stdout)

    return program.run(work)


if __name__ == "__main__":
    sys.exit(main())
