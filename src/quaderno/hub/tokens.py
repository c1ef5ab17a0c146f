"""Service tokens, for automation. `python -m quaderno.hub.tokens create|list|revoke`.

A token belongs to a service of JupyterHub. What each service may do is kept in a file that the
hub's configuration declares at each start, because JupyterHub deletes roles and services that its
configuration does not know. All of this works on the hub's database, as `jupyterhub token` does,
so the hub may be running or not, and takes effect at once.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from jupyterhub import orm, roles, scopes
from jupyterhub.slugs import is_valid_safe_slug
from jupyterhub.utils import utcnow

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.errors import ConfigError, QuadernoError
from quaderno.hub import culling, database, file_pages, own_images
from quaderno.hub.scoped import SCOPE_DEFINITIONS


def granted(config: Config) -> dict[str, list[str]]:
    """What each service with a token may do: name -> scopes."""
    try:
        found: dict[str, list[str]] = json.loads(_record(config).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def declared_roles(config: Config) -> list[dict[str, object]]:
    """The roles of services with tokens, for `c.JupyterHub.load_roles`."""
    return [_role(name, scopes) for name, scopes in granted(config).items()]


def declared_services(config: Config) -> list[dict[str, object]]:
    """The services with tokens, for `c.JupyterHub.services`; their tokens are in the database."""
    return [{"name": name, "display": False} for name in granted(config)]


def _role(name: str, scopes: list[str]) -> dict[str, object]:
    # JupyterHub gives every token the scope to read its owner's name; the owner must have it.
    own_name = f"read:services:name!service={name}"
    return {"name": f"token-{name}", "services": [name], "scopes": [*scopes, own_name]}


def _record(config: Config) -> Path:
    return config.dir / "hub" / "token-roles.json"


def create(config: Config, name: str, wanted: list[str]) -> str:
    """A token of the service `name` that may do what `wanted` says, and nothing else.

    Raises ConfigError for a bad name or scope.
    """
    if not is_valid_safe_slug(name):
        raise ConfigError(
            f"{name!r} cannot name a service", "Use lower-case letters, digits and hyphens"
        )
    if name in ("agent", culling.NAME, file_pages.NAME, own_images.NAME):
        raise ConfigError(f"{name!r} is a service of the hub's own", "Choose another name")
    scopes.define_custom_scopes(SCOPE_DEFINITIONS)
    for scope in wanted:
        if scope.partition("!")[0] not in scopes.scope_definitions:
            raise ConfigError(
                f"{scope!r} is not a JupyterHub scope", "JupyterHub's documentation lists them"
            )
    held = granted(config)
    held[name] = sorted({*held.get(name, ()), *wanted})
    role = _role(name, held[name])
    with orm.new_session_factory(database.url(config))() as session:
        service = orm.Service.find(session, name)
        if service is None:
            service = orm.Service(name=name, from_config=True)
            session.add(service)
            session.commit()
        roles.create_role(session, role)
        roles.grant_role(session, service, orm.Role.find(session, role["name"]))
        token: str = service.new_api_token(note="quaderno token create", scopes=set(wanted))
        _write(_record(config), json.dumps(held, indent=2))
        session.commit()
    return token


def revoke(config: Config, name: str) -> None:
    """End every token of the service `name`; raises ConfigError when there is no such service.

    The tokens expire and nothing is deleted: a hub that runs may know the rows, whose numbers the
    database would give to the next service. It removes what has expired, and at its next start
    the service.
    """
    held = granted(config)
    if name not in held:
        known = ", ".join(held) or "there are none"
        raise ConfigError(f"{name!r} has no token", f"Services with tokens: {known}")
    del held[name]
    with orm.new_session_factory(database.url(config))() as session:
        service = orm.Service.find(session, name)
        for token in service.api_tokens if service else ():
            token.expires_at = utcnow(with_tz=False)
        _write(_record(config), json.dumps(held, indent=2))
        session.commit()


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


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
    config = quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))
    try:
        if arguments.command == "create":
            sys.stdout.write(create(config, arguments.name, arguments.scopes) + "\n")
        elif arguments.command == "list":
            json.dump(granted(config), sys.stdout)
        else:
            revoke(config, arguments.name)
    except QuadernoError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
