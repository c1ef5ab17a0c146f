"""The administration site: who gets in, and that it bends no rule."""

from typing import TYPE_CHECKING, Any

import pytest

from .conftest import PASSWORD
from .people import USERS, manage, opened

if TYPE_CHECKING:
    from django.test import Client

    from quaderno.iam.models import User

GROUPS = "/identity/admin/auth/group/"


@pytest.fixture
def ada() -> "User":
    from quaderno.iam import accounts

    return accounts.create_user("ada", PASSWORD, email="ada@example.org", admin=True)


@pytest.fixture
def admin(ada: "User") -> "Client":
    from django.test import Client

    client = Client(headers={"Host": "127.0.0.1:8001"})
    client.force_login(ada)
    return client


def change(admin: "Client", user: "User", **fields: str) -> Any:
    return admin.post(f"{USERS}{user.pk}/change/", opened(admin, user) | fields)


def test_only_superusers_get_in_and_only_through_our_login(admin: "Client", ada: "User") -> None:
    assert admin.get(USERS).status_code == 200
    ada.is_superuser = False
    ada.save()
    assert admin.get("/identity/admin/login/").status_code == 403
    admin.logout()
    for path in ("/identity/admin/", "/identity/admin/login/"):
        page = admin.post(path, {"username": "ada", "password": PASSWORD}, follow=True)
        assert page.redirect_chain[-1][0].startswith("/identity/login/?next=/identity/admin/")


@pytest.mark.parametrize(("name", "kept"), [("grace", True), ("Grace", False), ("local", False)])
def test_names_follow_the_rule(admin: "Client", name: str, kept: bool) -> None:
    from quaderno.iam.models import User

    form = {"username": name, "usable_password": "true"}
    form |= {"password1": "brass lantern 9", "password2": "brass lantern 9"}
    answer = admin.post(f"{USERS}add/", form)
    assert (answer.status_code == 302) is kept
    assert User.objects.filter(username=name).exists() is kept


def test_accounts_are_neither_renamed_nor_deleted(admin: "Client", ada: "User") -> None:
    assert change(admin, ada, username="eve", is_superuser="on").status_code == 302
    ada.refresh_from_db()
    assert ada.username == "ada"
    assert admin.post(f"{USERS}{ada.pk}/delete/", {"post": "yes"}).status_code == 403
    assert "delete_selected" not in admin.get(USERS).content.decode()


def test_the_password_is_not_a_field(admin: "Client", ada: "User") -> None:
    assert ada.password not in admin.get(f"{USERS}{ada.pk}/change/").content.decode()


def test_an_address_is_for_logging_in_and_is_nobody_elses(admin: "Client") -> None:
    from quaderno.iam import accounts

    grace = accounts.create_user("grace", PASSWORD, email="grace@example.org")
    page = change(admin, grace, email="ADA@example.org").content.decode()
    assert "This address belongs to another account." in page
    assert change(admin, grace, email="G.Hopper@example.org").status_code == 302
    admin.logout()
    form = {"login": "g.hopper@example.org", "password": PASSWORD}
    assert admin.post("/identity/login/", form).status_code == 302


def test_a_lost_second_step_is_taken_away_without_showing_it(admin: "Client", ada: "User") -> None:
    from allauth.mfa.models import Authenticator

    app = Authenticator.objects.create(user=ada, type="totp", data={"secret": "S3CRET"})
    page = f"/identity/admin/mfa/authenticator/{app.pk}"
    shown = admin.get(f"{page}/change/")
    assert shown.status_code == 200
    assert "S3CRET" not in shown.content.decode()
    assert admin.post(f"{page}/delete/", {"post": "yes"}).status_code == 302
    assert not Authenticator.objects.exists()


@pytest.mark.parametrize(("name", "kept"), [("/dev/ml", True), ("dev", False), ("/Dev", False)])
def test_groups_follow_the_rule(admin: "Client", name: str, kept: bool) -> None:
    from django.contrib.auth.models import Group

    assert (admin.post(f"{GROUPS}add/", {"name": name}).status_code == 302) is kept
    assert Group.objects.filter(name=name).exists() is kept


@pytest.mark.parametrize("state", ["waiting", "deleted"])
def test_nobody_is_put_back_among_the_requests_or_called_deleted(
    admin: "Client", state: str
) -> None:
    from quaderno.iam import accounts

    grace = accounts.create_user("grace", PASSWORD)
    page = change(admin, grace, state=state)
    assert "Select a valid choice" in page.content.decode()
    grace.refresh_from_db()
    assert grace.state == "active"


def test_who_was_erased_stays_so(admin: "Client") -> None:
    from quaderno.iam import accounts

    grace = accounts.create_user("grace", PASSWORD)
    accounts.erase(grace)
    assert admin.get(f"{USERS}{grace.pk}/change/").status_code == 200
    assert change(admin, grace, email="grace@example.org").status_code == 403
    grace.refresh_from_db()
    assert (grace.state, grace.email) == ("deleted", "")


def test_a_page_of_earlier_undoes_nothing(admin: "Client") -> None:
    """Neither a suspension, nor groups, nor rights that were taken meanwhile."""
    from quaderno.iam import accounts, groups
    from quaderno.iam.models import User

    ml = accounts.ensure_group("/dev/ml")
    grace = accounts.create_user("grace", PASSWORD, groups=["/dev/ml"], admin=True)
    rights = {"is_superuser": "on", "is_staff": "on", "groups": str(ml.pk)}
    earlier = opened(admin, grace) | rights
    decisions = (
        lambda: accounts.suspend(grace, "Left the institute"),
        lambda: groups.remove(ml, grace),
        lambda: User.objects.filter(pk=grace.pk).update(is_superuser=False),
    )
    for decide in decisions:
        decide()
        page = admin.post(f"{USERS}{grace.pk}/change/", earlier | {"first_name": "Grace"})
        assert "This account was changed after you opened the page" in page.content.decode()
        grace.refresh_from_db()
        assert (grace.state, grace.first_name) == ("suspended", "")
        earlier = opened(admin, grace) | rights | {"state": "suspended"}
    for forged in ("", "0" * 64):
        admin.post(f"{USERS}{grace.pk}/change/", earlier | {"seen": forged, "state": "active"})
        grace.refresh_from_db()
        assert grace.state == "suspended"


@pytest.mark.parametrize("state", ["suspended", "rejected"])
def test_administrators_shut_out_and_let_in_again(admin: "Client", state: str) -> None:
    from quaderno.iam import accounts

    grace = accounts.create_user("grace", PASSWORD)
    for wanted in (state, "active"):
        assert change(admin, grace, state=wanted, state_reason="because").status_code == 302
        grace.refresh_from_db()
        assert grace.state == wanted


def test_a_request_is_not_decided_past_its_page(admin: "Client") -> None:
    from quaderno.iam.models import User

    grace = User.objects.create(username="grace", state="waiting", request_reason="Compilers")
    change(admin, grace, state="active")
    grace.refresh_from_db()
    assert grace.state == "waiting"


@pytest.mark.parametrize("state", ["active", "waiting"])
def test_only_a_changed_address_is_vouched_for(admin: "Client", state: str) -> None:
    from allauth.account.models import EmailAddress

    from quaderno.iam.models import User

    grace = User.objects.create(username="grace", email="grace@example.org", state=state)
    EmailAddress.objects.create(user=grace, email=grace.email, primary=True)
    assert change(admin, grace, first_name="Grace").status_code == 302
    if state == "waiting":
        change(admin, grace, email="g.hopper@example.org")
    grace.refresh_from_db()
    assert grace.email == "grace@example.org"
    assert not EmailAddress.objects.get(email="grace@example.org").verified


RIGHTS = {"is_superuser": "on", "is_staff": "on"}


@pytest.mark.parametrize("fields", [{"state": "suspended"} | RIGHTS, {"is_staff": "on"}])
def test_there_is_always_an_administrator(
    admin: "Client", ada: "User", fields: dict[str, str]
) -> None:
    from quaderno.iam import accounts

    accounts.suspend(accounts.create_user("eve", PASSWORD, admin=True), "Left the institute")
    page = change(admin, ada, **fields)
    assert "ada is the only administrator" in page.content.decode()
    ada.refresh_from_db()
    assert (ada.state, ada.is_superuser) == ("active", True)
    accounts.create_user("grace", PASSWORD, admin=True)
    assert change(admin, ada, **fields).status_code == 302
    ada.refresh_from_db()
    assert (ada.state, ada.is_superuser) != ("active", True)


def test_operators_do_not_suspend_the_only_administrator(ada: "User") -> None:
    from quaderno.errors import AccountError

    with pytest.raises(AccountError, match="ada is the only administrator"):
        manage("change_user", "disable", "ada", "--reason=because")
    ada.refresh_from_db()
    assert ada.state == "active"
