"""Groups: who manages which, how one asks to be in one, what never becomes a claim."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from quaderno.errors import AccountError

from .conftest import PASSWORD, link, new_browser
from .test_accounts import run

if TYPE_CHECKING:
    from django.test import Client

    from quaderno.iam.models import User

Person = tuple["User", "Client"]


def person(name: str, *groups: str, admin: bool = False) -> Person:
    from quaderno.iam import accounts

    user = accounts.create_user(
        name, PASSWORD, email=f"{name}@example.org", groups=groups, admin=admin
    )
    client = new_browser()
    client.force_login(user)
    return user, client


@pytest.fixture
def ada() -> Person:
    """An administrator."""
    return person("ada", admin=True)


@pytest.fixture
def hedy() -> Person:
    """Manages /dev and with it /dev/ml, but not /devices."""
    hedy = person("hedy", "/dev/ml", "/devices")
    assert run("change_group", "add", "/dev", "hedy", "--manager").strip() == "hedy manages /dev"
    return hedy


@pytest.fixture
def eve() -> Person:
    """Nobody in particular."""
    return person("eve")


def page(path: str) -> str:
    return f"/identity/groups/of/{path}/"


def act(who: Person, path: str, action: str, user: str) -> Any:
    return who[1].post(page(path), {"action": action, "user": user}, follow=True)


def test_managers_add_and_remove_in_their_group_and_below(hedy: Person, eve: Person) -> None:
    assert "/dev/ml" in hedy[1].get("/identity/groups/").content.decode()
    added = act(hedy, "dev/ml", "add", "eve").content.decode()
    assert "eve is in /dev/ml now." in added
    assert "of a group above" in added
    assert eve[0].group_names() == ["/dev/ml"]
    assert "not in /dev/ml any more" in act(hedy, "dev/ml", "remove", "eve").content.decode()
    assert eve[0].group_names() == []


@pytest.mark.parametrize("action", ["add", "remove", "admit", "appoint", "dismiss"])
@pytest.mark.parametrize("path", ["devices", "dev/ml", "quaderno/admins", "none"])
def test_nobody_else_does(hedy: Person, eve: Person, action: str, path: str) -> None:
    """Neither somebody, nor a manager of another group, one whose name merely begins alike."""
    before = json.loads(run("list_groups"))
    for who in [eve, *([] if path == "dev/ml" else [hedy])]:
        assert who[1].get(page(path)).status_code == 403
        assert act(who, path, action, "eve").status_code == 403
    assert json.loads(run("list_groups")) == before


@pytest.mark.parametrize("action", ["appoint", "dismiss"])
def test_only_administrators_choose_managers(
    ada: Person, hedy: Person, eve: Person, action: str
) -> None:
    assert act(hedy, "dev", action, "hedy").status_code == 403
    act(ada, "dev", "appoint", "eve")
    assert eve[1].get(page("dev/ml")).status_code == 200
    act(ada, "dev", "dismiss", "eve")
    assert eve[1].get(page("dev/ml")).status_code == 403


def test_asking_for_a_group(hedy: Person, eve: Person, outbox: Sequence[Any]) -> None:
    wish = {"group": "/dev/ml", "reason": "I train models"}
    said = eve[1].post("/identity/groups/ask/", wish, follow=True).content.decode()
    assert "Whoever manages /dev/ml decides now." in said
    assert outbox[-1].to == ["hedy@example.org"]
    assert "I train models" in outbox[-1].body
    assert "I train models" in hedy[1].get(link(outbox[-1])).content.decode()
    again = eve[1].post("/identity/groups/ask/", wish, follow=True).content.decode()
    assert "You asked for /dev/ml already." in again
    assert len(outbox) == 1

    act(hedy, "dev/ml", "admit", "eve")
    assert eve[0].group_names() == ["/dev/ml"]
    assert "You are in /dev/ml" in outbox[-1].subject
    assert outbox[-1].to == ["eve@example.org"]
    assert "does not ask" in act(hedy, "dev/ml", "admit", "eve").content.decode()


def test_a_declined_request_may_be_made_again(
    ada: Person, hedy: Person, eve: Person, outbox: Sequence[Any]
) -> None:
    wish = {"group": "/devices", "reason": "Repairs"}
    eve[1].post("/identity/groups/ask/", wish)
    assert outbox[-1].to == ["ada@example.org"], "nobody manages it but administrators"
    act(ada, "devices", "decline", "eve")
    assert eve[0].group_names() == []
    assert "was declined" in outbox[-1].body
    assert "/devices" in eve[1].get("/identity/groups/").content.decode()
    eve[1].post("/identity/groups/ask/", wish)
    assert outbox[-1].to == ["ada@example.org"]


def test_an_admission_needs_a_request(hedy: Person, eve: Person) -> None:
    assert "does not ask" in act(hedy, "dev", "admit", "eve").content.decode()
    assert eve[0].group_names() == []


def test_a_wish_needs_a_reason_and_a_group(hedy: Person, eve: Person) -> None:
    said = eve[1].post("/identity/groups/ask/", {"group": "/dev"}, follow=True)
    assert "Say why you want to be in /dev." in said.content.decode()
    nowhere = eve[1].post("/identity/groups/ask/", {"group": "/no", "reason": "x"})
    assert nowhere.status_code == 404


def test_a_mistyped_name_is_said(hedy: Person) -> None:
    assert (
        "There is no account &#x27;evve&#x27;." in act(hedy, "dev", "add", "evve").content.decode()
    )


@pytest.mark.parametrize(
    "name",
    [
        "dev",
        "/Dev",
        "/dev/",
        "/dev//ml",
        "/dev,/admins",
        "/dev\n/admins",
        "/d\u0435v",
        '/"]',
        "/..",
    ],
)
def test_an_odd_name_never_becomes_a_claim(ada: Person, name: str) -> None:
    """Whoever reads `groups` in a token may split or normalise it; the fifth but one has a
    Cyrillic letter."""
    from django.contrib.auth.models import Group

    ada[1].post("/identity/groups/create/", {"group": name})
    with pytest.raises(AccountError, match="cannot be used"):
        run("change_group", "add", "--", name, "ada")
    with pytest.raises(AccountError, match="cannot be used"):
        Group.objects.create(name=name)
    assert [group["name"] for group in json.loads(run("list_groups"))] == ["/quaderno/admins"]


def test_administrators_make_groups(ada: Person, eve: Person) -> None:
    made = ada[1].post("/identity/groups/create/", {"group": "/dev/ml"})
    assert made.headers["Location"] == page("dev/ml")
    assert eve[1].post("/identity/groups/create/", {"group": "/mine"}).status_code == 403


def test_operators_change_groups_and_list_them(hedy: Person, eve: Person) -> None:
    assert run("change_group", "add", "/new", "eve").strip() == "eve is in /new"
    assert json.loads(run("list_groups")) == [
        {"name": "/dev", "members": [], "managers": ["hedy"]},
        {"name": "/dev/ml", "members": ["hedy"], "managers": []},
        {"name": "/devices", "members": ["hedy"], "managers": []},
        {"name": "/new", "members": ["eve"], "managers": []},
    ]
    run("change_group", "remove", "/new", "eve")
    run("change_group", "remove", "/dev", "hedy", "--manager")
    assert eve[0].group_names() == []
    assert hedy[1].get(page("dev")).status_code == 403
    with pytest.raises(AccountError, match="There is no group '/nowhere'"):
        run("change_group", "remove", "/nowhere", "eve")
