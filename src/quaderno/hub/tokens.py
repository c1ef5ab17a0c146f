"""`python -m quaderno.hub.tokens NAME SCOPE...`: print a new JupyterHub service token.

Works on the hub's database, as `jupyterhub token` does, so the hub may be running or not.
"""

import os
import sys
from pathlib import Path

from jupyterhub import orm, roles, scopes
from jupyterhub.slugs import is_valid_safe_slug

from quaderno import config as quaderno_config
from quaderno.hub import credentials


def create(database: str, name: str, wanted: list[str]) -> str:
    """A token of the service `name` that may do what `wanted` says, and nothing else.

    The service is made if needed and lives until it is removed through the hub's API. Raises
    ValueError in one line for a bad name or scope.
    """
    if not is_valid_safe_slug(name) or name == "agent":
        raise ValueError(f"{name!r} cannot name a service: use lower-case letters and digits")
    scopes.define_custom_scopes(credentials.SCOPE_DEFINITION)
    for scope in wanted:
        if scope.partition("!")[0] not in scopes.scope_definitions:
            raise ValueError(f"{scope!r} is not a JupyterHub scope")
    with orm.new_session_factory(database)() as session:
        service = orm.Service.find(session, name)
        if service is None:
            service = orm.Service(name=name, from_config=False)
            session.add(service)
            session.commit()
        role_name = f"token-{name}"
        held = orm.Role.find(session, role_name)
        both = sorted(set(wanted) | set(held.scopes if held else ()))
        roles.create_role(
            session, {"name": role_name, "scopes": both, "description": f"tokens of {name}"}
        )
        roles.grant_role(session, service, orm.Role.find(session, role_name))
        token: str = service.new_api_token(note="quaderno token create", scopes=set(wanted))
        session.commit()
    return token


def main() -> int:
    """The command line."""
    config = quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))
    database = config.hub.database or f"sqlite:///{config.dir / 'hub' / 'jupyterhub.sqlite'}"
    try:
        token = create(database, sys.argv[1], sys.argv[2:])
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{token}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
