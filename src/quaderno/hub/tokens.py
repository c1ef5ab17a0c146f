"""`python -m quaderno.hub.tokens NAME SCOPE...`: print a new JupyterHub service token.

The token belongs to a service of that name. What each service may do is kept in a file that the
hub's configuration declares at each start, because JupyterHub deletes roles and services that its
configuration does not know. To take a token back, remove its service from `hub/token-roles.json`
and restart the hub.
"""

import json
import os
import sys
from pathlib import Path

from jupyterhub import orm, roles, scopes
from jupyterhub.slugs import is_valid_safe_slug

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.hub import credentials


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

    Works on the database, as `jupyterhub token` does, so the hub may be running or not. Raises
    ValueError in one line for a bad name or scope.
    """
    if not is_valid_safe_slug(name) or name == "agent":
        raise ValueError(f"{name!r} cannot name a service: use lower-case letters and digits")
    scopes.define_custom_scopes(credentials.SCOPE_DEFINITION)
    for scope in wanted:
        if scope.partition("!")[0] not in scopes.scope_definitions:
            raise ValueError(f"{scope!r} is not a JupyterHub scope")
    held = granted(config)
    held[name] = sorted({*held.get(name, ()), *wanted})
    role = _role(name, held[name])
    with orm.new_session_factory(database(config))() as session:
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


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def database(config: Config) -> str:
    """SQLAlchemy URL of the hub's database."""
    return config.hub.database or f"sqlite:///{config.dir / 'hub' / 'jupyterhub.sqlite'}"


def main() -> int:
    """The command line."""
    config = quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))
    try:
        token = create(config, sys.argv[1], sys.argv[2:])
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{token}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
