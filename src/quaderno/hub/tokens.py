"""Service tokens, for automation. `python -m quaderno.hub.tokens create|list|revoke`.

A token belongs to a service of JupyterHub. JupyterHub deletes roles and services that its
configuration does not know, so that declares at each start those that the database has: whichever
hub works on it, wherever that runs. All of this works on the hub's database, as `jupyterhub token`
does, so the hub may be running or not, and takes effect at once.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jupyterhub import orm, roles, scopes
from jupyterhub.slugs import is_valid_safe_slug
from jupyterhub.utils import utcnow
from sqlalchemy.orm import Session

from quaderno.config import Config
from quaderno.errors import ConfigError
from quaderno.hub import culling, database, file_pages, own_images, program, running_servers
from quaderno.hub.scoped import SCOPE_DEFINITIONS

_ROLE = "token-"  # and the service's name


def granted(config: Config) -> dict[str, list[str]]:
    """What each service with a token may do: name -> scopes."""
    with _session(config) as session:
        return _granted(session)


def _granted(session: Session) -> dict[str, list[str]]:
    """Without those whose tokens were revoked."""
    return {
        service.name: [scope for scope in role.scopes if scope != _own_name(service.name)]
        for service in session.query(orm.Service).order_by(orm.Service.name)
        for role in service.roles
        if role.name == f"{_ROLE}{service.name}" and any(map(_is_valid, service.api_tokens))
    }


def _is_valid(token: orm.APIToken) -> bool:
    return token.expires_at is None or bool(token.expires_at > utcnow(with_tz=False))


@contextmanager
def _session(config: Config) -> Iterator[Session]:
    """On the hub's database; no connection to it is left."""
    with orm.new_session_factory(database.url(config))() as session:
        try:
            yield session
        finally:
            session.get_bind().engine.dispose()


def declared_roles(config: Config) -> list[dict[str, object]]:
    """The roles of services with tokens, for `c.JupyterHub.load_roles`."""
    return [_role(name, scopes) for name, scopes in granted(config).items()]


def declared_services(config: Config) -> list[dict[str, object]]:
    """The services with tokens, for `c.JupyterHub.services`; their tokens are in the database."""
    return [{"name": name, "display": False} for name in granted(config)]


def _role(name: str, scopes: list[str]) -> dict[str, object]:
    # JupyterHub gives every token the scope to read its owner's name; the owner must have it.
    return {
        "name": f"{_ROLE}{name}",
        "services": [name],
        "scopes": [*scopes, _own_name(name)],
    }


def _own_name(name: str) -> str:
    return f"read:services:name!service={name}"


def create(config: Config, name: str, wanted: list[str]) -> str:
    """A token of the service `name` that may do what `wanted` says, and nothing else.

    Raises ConfigError for a bad name or scope.
    """
    if not is_valid_safe_slug(name):
        raise ConfigError(
            f"{name!r} cannot name a service", "Use lower-case letters, digits and hyphens"
        )
    if name in ("agent", culling.NAME, file_pages.NAME, own_images.NAME, running_servers.NAME):
        raise ConfigError(f"{name!r} is a service of the hub's own", "Choose another name")
    scopes.define_custom_scopes(SCOPE_DEFINITIONS)
    for scope in wanted:
        if scope.partition("!")[0] not in scopes.scope_definitions:
            raise ConfigError(
                f"{scope!r} is not a JupyterHub scope", "JupyterHub's documentation lists them"
            )
    with _session(config) as session:
        held = _granted(session).get(name, [])
        role = _role(name, sorted({*held, *wanted}))
        service = orm.Service.find(session, name)
        if service is None:
            service = orm.Service(name=name, from_config=True)
            session.add(service)
            session.commit()
        roles.create_role(session, role)
        roles.grant_role(session, service, orm.Role.find(session, role["name"]))
        token: str = service.new_api_token(note="quaderno token create", scopes=set(wanted))
        session.commit()
    return token


def revoke(config: Config, name: str) -> None:
    """End every token of the service `name`; raises ConfigError when there is no such service.

    The tokens expire and nothing is deleted: a hub that runs may know the rows, whose numbers the
    database would give to the next service. It removes what has expired, and at its next start
    the service.
    """
    with _session(config) as session:
        held = _granted(session)
        if name not in held:
            known = ", ".join(held) or "there are none"
            raise ConfigError(f"{name!r} has no token", f"Services with tokens: {known}")
        for token in orm.Service.find(session, name).api_tokens:
            token.expires_at = utcnow(with_tz=False)
        session.commit()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("create")
    new.add_argument("name")
    new.add_argument("scopes", nargs="+")
    commands.add_parser("list")
    commands.add_parser("revoke").add_argument("name")
    arguments = parser.parse_args()

    def work(config: Config) -> None:
        if arguments.command == "create":
            sys.stdout.write(create(config, arguments.name, arguments.scopes) + "\n")
        elif arguments.command == "list":
            json.dump(granted(config), sys.stdout)
        else:
            revoke(config, arguments.name)

    return program.run(work)


if __name__ == "__main__":
    sys.exit(main())
