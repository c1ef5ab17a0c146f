"""Accounts. A username is also a bucket, a directory and a container, so its rule is strict."""

import re
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models

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


class User(AbstractUser):
    """A registered person."""

    username: "models.CharField[str, str]" = models.CharField(
        max_length=40,
        unique=True,
        help_text=f"{USERNAME_RULE[0].upper()}{USERNAME_RULE[1:]}.",
        validators=username_validators,
        error_messages={"unique": "This username is taken."},
    )

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the account; raises AccountError for a name that no form has checked."""
        if problem := username_problem(self.username):
            raise AccountError(f"The name {self.username!r} cannot be used: {problem}")
        super().save(*args, **kwargs)

    def group_names(self) -> list[str]:
        """The groups' names, sorted."""
        return sorted(self.groups.values_list("name", flat=True))
