"""Accounts as operators and administrators handle them: changed whole or not at all."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from allauth.account import app_settings as allauth_settings
from allauth.account.models import EmailAddress
from allauth.idp.oidc.models import Token
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from quaderno.errors import AccountError
from quaderno.iam import mail
from quaderno.iam.models import (
    STATE_FIELDS,
    Consent,
    GroupManager,
    MembershipRequest,
    Message,
    State,
    User,
    username_problem,
    validate_group_name,
)


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


def find(name: str) -> User:
    """The account `name`; raises AccountError when there is none."""
    user = User.objects.filter(username=name).first()
    if user is None:
        raise AccountError(f"There is no account {name!r}", "quaderno user list")
    return user


def logged_in(request: HttpRequest) -> User:
    """Whose session it is, behind `login_required`."""
    return User.objects.get(pk=request.user.pk)


def set_password(user: User, password: str) -> None:
    """Give `user` a new password and end what was opened with the old one.

    Raises AccountError when it cannot be used.
    """
    _check("password", "Choose another password", validate_password, password, user)
    user.set_password(password)
    user.save()
    end_tokens(user)


# --- requests for accounts, and what becomes of them


def requests() -> QuerySet[User]:
    """Requests that wait for a decision, oldest first: those with a confirmed address."""
    waiting = User.objects.filter(state=State.WAITING, emailaddress__verified=True)
    return waiting.order_by("date_joined").distinct()


def forget_unconfirmed() -> None:
    """Delete requests whose address was not confirmed while its link was good.

    Nothing was ever made for them, so that their names are free again. Whoever did not register
    themselves, or was in once, may have storage by that name and stays.
    """
    life = timedelta(days=allauth_settings.EMAIL_CONFIRMATION_EXPIRE_DAYS)
    old = User.objects.filter(state=State.WAITING, date_joined__lt=timezone.now() - life)
    registered = old.filter(last_login=None).exclude(request_reason="")
    registered.exclude(emailaddress__verified=True).delete()


@transaction.atomic
def approve(user: User) -> None:
    """Let `user` in, and tell them; raises AccountError unless they wait, address confirmed."""
    _require(user, State.WAITING, State.REJECTED)
    if not EmailAddress.objects.filter(user=user, verified=True).exists():
        raise AccountError(
            f"{user.username} has not confirmed their e-mail address",
            "Wait until they open the link that they were sent",
        )
    _change(user, State.ACTIVE, "")
    mail.send("approved", user.email, account=user)


@transaction.atomic
def reject(user: User, reason: str) -> None:
    """Turn a request down, and tell `user` why; raises AccountError unless they wait."""
    _require(user, State.WAITING)
    _change(user, State.REJECTED, reason)
    mail.send("rejected", user.email, account=user)


@transaction.atomic
def suspend(user: User, reason: str) -> None:
    """Keep `user` out until further notice, with `reason` for them to see.

    Raises AccountError for the last administrator.
    """
    _require(user, State.ACTIVE, State.SUSPENDED)
    require_another_administrator(user)
    _change(user, State.SUSPENDED, reason)


@transaction.atomic
def reinstate(user: User) -> None:
    """Let somebody in again who was suspended; raises AccountError for everybody else."""
    _require(user, State.SUSPENDED)
    _change(user, State.ACTIVE, "")


def require_another_administrator(user: User) -> None:
    """Raise AccountError when nobody but `user` could undo what is about to happen to them."""
    administrators = User.objects.filter(is_superuser=True, is_active=True)
    if set(administrators.values_list("pk", flat=True)) == {user.pk}:
        raise AccountError(
            f"{user.username} is the only administrator", "Make somebody else one first"
        )


def end_tokens(user: User) -> None:
    """Make every application ask `user` to log in again when its access token runs out."""
    Token.objects.filter(user=user).delete()


_PERSONAL: tuple[Any, ...] = (
    *(EmailAddress, Authenticator, UserSession),
    *(Consent, GroupManager, MembershipRequest),
)


@transaction.atomic
def erase(user: User) -> None:
    """Forget everything about `user` but the name, which nobody else may ever get, and which
    policies they accepted.

    Raises AccountError for the last administrator.
    """
    require_another_administrator(user)
    for model in _PERSONAL:
        model.objects.filter(user=user).delete()
    Message.objects.filter(to=user.email).delete()
    user.groups.clear()
    user.first_name = user.last_name = user.email = user.request_reason = ""
    user.is_staff = user.is_superuser = False
    user.set_unusable_password()
    user.save()
    _change(user, State.DELETED, "")


def _require(user: User, *states: State) -> None:
    """Raise AccountError unless `user` is in one of `states` now, whatever was read earlier.

    Within a transaction nobody else decides meanwhile.
    """
    user.refresh_from_db()
    if user.state not in states:
        raise AccountError(
            f"This cannot be done: {user.username} is {State(user.state).label}",
            "quaderno user list",
        )


def _change(user: User, state: State, reason: str) -> None:
    user.state, user.state_reason, user.state_since = state, reason.strip(), timezone.now()
    user.save(update_fields=STATE_FIELDS)
    if state != State.ACTIVE:
        end_tokens(user)


# --- groups


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
