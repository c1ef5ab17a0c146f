"""Accounts as operators handle them: created whole or not at all."""

from collections.abc import Iterable
from typing import Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from quaderno.errors import AccountError
from quaderno.iam.models import User, username_problem, validate_group_name


@transaction.atomic
def create_user(
    name: str, password: str, *, email: str = "", groups: Iterable[str] = (), admin: bool = False
) -> User:
    """Register `name`, in groups that are created as needed.

    An administrator is a superuser here and a member of the hub's first admin group.
    Raises AccountError when the name, address, password or a group cannot be used.
    """
    if problem := username_problem(name):
        raise AccountError(f"The name {name!r} cannot be used: {problem}", "Choose another name")
    if User.objects.filter(username=name).exists():
        raise AccountError(f"The user {name} exists already", "Choose another name")
    user = User(username=name, email=email, is_staff=admin, is_superuser=admin)
    _check("password", "Choose another password", validate_password, password, user)
    user.set_password(password)
    user.save()
    if email:
        set_email(user, email)
    wanted = [*groups, *(settings.QUADERNO.oidc.admin_groups[:1] if admin else [])]
    user.groups.set([ensure_group(group) for group in wanted])
    return user


def set_email(user: User, email: str) -> None:
    """Make `email` the one address of `user`; operators vouch for it, so it counts as verified.

    Raises AccountError when it is not an address or is somebody else's.
    """
    _check("e-mail address", "Check its spelling", validate_email, email)
    email = email.lower()
    if EmailAddress.objects.filter(email=email).exclude(user=user).exists():
        raise AccountError(f"The address {email} belongs to another account", "Use another one")
    EmailAddress.objects.filter(user=user).exclude(email=email).delete()
    EmailAddress.objects.update_or_create(
        user=user, email=email, defaults={"primary": True, "verified": True}
    )
    if user.email != email:
        user.email = email
        user.save(update_fields=["email"])


def ensure_group(name: str) -> Group:
    """The group `name`; raises AccountError when it cannot be a group's name."""
    _check(f"group {name!r}", "Choose another name", validate_group_name, name)
    return Group.objects.get_or_create(name=name)[0]


def _check(what: str, hint: str, validate: Any, *values: Any) -> None:
    """Run a validator of Django's; its complaint becomes one line."""
    try:
        validate(*values)
    except ValidationError as error:
        reasons = " ".join(error.messages).rstrip(".")
        raise AccountError(f"The {what} cannot be used: {reasons}", hint) from error
