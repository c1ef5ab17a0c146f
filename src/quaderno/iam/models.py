"""Accounts. A username is also a bucket, a directory and a container, so its rule is strict."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser, Group
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from quaderno import names
from quaderno.errors import AccountError
from quaderno.names import USERNAME_RULE

GROUP_RULE = (
    "a slash before each part, and parts of lower-case letters, digits, `_`, `.` and `-` "
    "that start with a letter or digit, as in /dev/ml"
)
_GROUP = re.compile(r"(/[a-z0-9][a-z0-9_.-]*)+", re.ASCII)


def username_problem(name: str) -> str | None:
    """Why `name` cannot be a username of this instance; None when it can."""
    return names.username_problem(name, {settings.QUADERNO.store.scratch_bucket})


def validate_username(name: str) -> None:
    """Raise ValidationError unless `name` can be used as it is for all that it names."""
    if problem := username_problem(name):
        raise ValidationError(problem[0].upper() + problem[1:] + ".", code="username")


def validate_group_name(name: str) -> None:
    """Raise ValidationError unless `name` is hierarchical, as in `/dev/ml`."""
    if not _GROUP.fullmatch(name):
        raise ValidationError(f"A group's name has {GROUP_RULE}.", code="group_name")


username_validators = [validate_username]


class State(models.TextChoices):
    """What an account may do; only the active log in."""

    ACTIVE = "active", "active"
    WAITING = "waiting", "waiting for approval"
    REJECTED = "rejected", "rejected"
    SUSPENDED = "suspended", "suspended"
    DELETED = "deleted", "deleted"


STATE_FIELDS = ("state", "state_reason", "state_since", "is_active")


class User(AbstractUser):
    """A registered person, or somebody who asks to become one."""

    username: "models.CharField[str, str]" = models.CharField(
        max_length=40,
        unique=True,
        help_text=f"{USERNAME_RULE[0].upper()}{USERNAME_RULE[1:]}.",
        validators=username_validators,
        error_messages={"unique": "This username is taken."},
    )
    state: "models.CharField[str, str]" = models.CharField(
        max_length=10, choices=State.choices, default=State.ACTIVE
    )
    state_reason: "models.TextField[str, str]" = models.TextField(
        blank=True, max_length=1000, help_text="Why; the person sees it when they log in."
    )
    state_since: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(
        default=timezone.now, editable=False
    )
    request_reason: "models.TextField[str, str]" = models.TextField(
        blank=True, max_length=1000, help_text="What they wrote when they asked for the account."
    )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the account; raises AccountError for a name that no form has checked.

        `is_active`, which Django and the library ask for, follows the state. A state is decided by
        naming it in `update_fields`: whoever stores an account for another reason may have read it
        before somebody suspended it.
        """
        if problem := username_problem(self.username):
            raise AccountError(f"The name {self.username!r} cannot be used: {problem}")
        self.is_active = self.state == State.ACTIVE
        if not self._state.adding:
            kwargs["update_fields"] = self._fields_to_update(kwargs.get("update_fields"))
        super().save(*args, **kwargs)

    def _fields_to_update(self, named: Collection[str] | None) -> set[str]:
        if named is not None:
            return {*named, "is_active"} if "state" in named else set(named)
        stored = {field.name for field in self._meta.concrete_fields if not field.primary_key}
        return stored - self.get_deferred_fields() - {*STATE_FIELDS}

    def group_names(self) -> list[str]:
        """The groups' names, sorted."""
        return sorted(self.groups.values_list("name", flat=True))


class PolicyAcceptance(models.Model):
    """That somebody accepted a version of the acceptable use policy, and when. Never changed."""

    user: "models.ForeignKey[User, User]" = models.ForeignKey(User, on_delete=models.CASCADE)
    version: "models.CharField[str, str]" = models.CharField(max_length=40)
    accepted_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(
        default=timezone.now
    )

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "version"], name="accepted_once"),)


def refuse_odd_group_names(sender: type[Group], instance: Group, **_: Any) -> None:  # noqa: ARG001
    """Before a group is stored: its name is a claim in tokens, which relying parties compare.

    Raises AccountError for a name that no form has checked.
    """
    if not _GROUP.fullmatch(instance.name):
        raise AccountError(f"The group {instance.name!r} cannot be used: a name has {GROUP_RULE}")


models.signals.pre_save.connect(refuse_odd_group_names, sender=Group)


class GroupManager(models.Model):
    """Somebody who decides who is in a group, and in the groups below it."""

    user: "models.ForeignKey[User, User]" = models.ForeignKey(User, on_delete=models.CASCADE)
    group: "models.ForeignKey[Group, Group]" = models.ForeignKey(Group, on_delete=models.CASCADE)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "group"], name="manages_once"),)


class MembershipRequest(models.Model):
    """Somebody's wish to be in a group, until a manager decides."""

    user: "models.ForeignKey[User, User]" = models.ForeignKey(User, on_delete=models.CASCADE)
    group: "models.ForeignKey[Group, Group]" = models.ForeignKey(Group, on_delete=models.CASCADE)
    reason: "models.TextField[str, str]" = models.TextField(max_length=1000)
    asked_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(
        default=timezone.now
    )

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "group"], name="asked_once"),)


class Consent(models.Model):
    """What somebody lets an application know and do, until they take it back."""

    user: "models.ForeignKey[User, User]" = models.ForeignKey(User, on_delete=models.CASCADE)
    client_id: str
    client: "models.ForeignKey[Any, Any]" = models.ForeignKey(
        "allauth_idp_oidc.Client", on_delete=models.CASCADE
    )
    scopes: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    given_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(
        default=timezone.now
    )

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "client"], name="consents_once"),)


class Message(models.Model):
    """A message that is not delivered yet; its text may hold a link that is worth a password."""

    template: "models.CharField[str, str]" = models.CharField(max_length=60)
    to: "models.CharField[str, str]" = models.CharField(max_length=254)
    subject: "models.CharField[str, str]" = models.CharField(max_length=300)
    body: "models.TextField[str, str]" = models.TextField()
    written_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(
        default=timezone.now
    )
    tries: "models.IntegerField[int, int]" = models.IntegerField(default=0)
    try_at: "models.DateTimeField[datetime, datetime]" = models.DateTimeField(
        default=timezone.now, db_index=True
    )
    problem: "models.CharField[str, str]" = models.CharField(max_length=100, blank=True)
