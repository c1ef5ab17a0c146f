"""How often somebody gets keys, by JupyterHub's own tokens and scopes."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from jupyterhub import orm, roles, scopes
from jupyterhub.auth import DummyAuthenticator
from jupyterhub.objects import Hub
from jupyterhub.user import UserDict
from sqlalchemy.pool import StaticPool
from tornado import web

from quaderno.errors import LoginRequiredError
from quaderno.hub.credentials import S3KeysHandler
from quaderno.hub.rates import PersonalRates, Rates
from quaderno.hub.scoped import S3_KEYS_SCOPE, SCOPE_DEFINITIONS
from tests.ports import free_ports
from tests.unit.hub import small_site

# Of JupyterHub's own type of column.
pytestmark = pytest.mark.filterwarnings("ignore:TypeDecorator JSONDict")

EACH, TOGETHER = 3, 7
# Nobody is logged in at the identity provider, which those hear who may ask.
ADMITTED, TOO_OFTEN = 403, 429
Ask = Callable[..., list[int]]


class LoggedOut(DummyAuthenticator):  # type: ignore[misc]
    async def fresh_auth_state(self, user: Any) -> None:
        raise LoginRequiredError(f"{user.name} has not logged in")


def standing() -> float:
    """A clock by which nobody may ask again for having waited."""
    return 0


def tokens(db: Any) -> dict[str, str]:
    """Three of Ada's, one of Bob's, and a service's; all get Ada's keys."""
    if S3_KEYS_SCOPE not in scopes.scope_definitions:
        scopes.define_custom_scopes(SCOPE_DEFINITIONS)
    roles.create_role(db, {"name": "keys", "scopes": [S3_KEYS_SCOPE]})
    ada, bob, agent = orm.User(name="ada"), orm.User(name="bob"), orm.Service(name="agent")
    db.add_all([ada, bob, agent, orm.OAuthClient(identifier="jupyterhub")])
    for each in (ada, bob, agent):
        each.roles.append(orm.Role.find(db, "keys"))
    db.commit()
    owners = {"first": ada, "second": ada, "third": ada, "bob": bob, "agent": agent}
    return {name: owner.new_api_token(scopes=[S3_KEYS_SCOPE]) for name, owner in owners.items()}


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Statuses of the answers to who asks for Ada's keys, `times` times."""
    db = orm.new_session_factory("sqlite://", poolclass=StaticPool)()
    made, port = tokens(db), free_ports(1)
    rates = PersonalRates(Rates(EACH, standing), Rates(TOGETHER, standing))
    routes = [(r"/users/([^/]+)/s3-keys", S3KeysHandler, {"rates": rates})]
    settings: dict[str, Any] = {"db": db, "authenticator": LoggedOut(), "hub": Hub()}
    settings["users"] = UserDict(lambda: db, settings)

    def asked(name: str, times: int) -> list[int]:
        url, headers = f"http://127.0.0.1:{port}/users/ada/s3-keys", {}
        headers["Authorization"] = f"token {made[name]}"
        return [httpx.get(url, headers=headers, timeout=60).status_code for _ in range(times)]

    with small_site.answering(web.Application(routes, **settings), port):
        yield asked
    db.close()


def test_one_token_leaves_something_to_the_others_of_its_person(ask: Ask) -> None:
    assert ask("first", EACH + 1) == [ADMITTED] * EACH + [TOO_OFTEN]
    assert ask("second", EACH + 1) == [ADMITTED] * EACH + [TOO_OFTEN]


def test_more_tokens_get_one_person_no_more(ask: Ask) -> None:
    ask("first", EACH + 5)
    ask("second", EACH)
    left = TOGETHER - 2 * EACH
    assert ask("third", left + 1) == [ADMITTED] * left + [TOO_OFTEN]
    assert ask("third", 1) == [TOO_OFTEN]


def test_neither_others_nor_services_wait_for_them(ask: Ask) -> None:
    """The node agent must get keys for whoever has asked too often."""
    for name in ("first", "second", "third"):
        ask(name, EACH)
    assert ask("agent", EACH + 1) == [ADMITTED] * EACH + [TOO_OFTEN]
    assert ask("bob", 1) == [ADMITTED]
