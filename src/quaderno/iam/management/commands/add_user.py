"""Registers a person."""

import sys
from typing import Any

from django.core.management import BaseCommand, CommandParser

from quaderno.errors import AccountError
from quaderno.iam import accounts


class Command(BaseCommand):
    """The password comes on standard input: arguments and environments are seen by others."""

    help = "Register a person; the password is one line on standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        """NAME [--email E] [--group G]... [--admin] --password-stdin"""
        parser.add_argument("name")
        parser.add_argument("--email", default="")
        parser.add_argument("--group", action="append", default=[], dest="groups")
        parser.add_argument("--admin", action="store_true")
        parser.add_argument("--password-stdin", action="store_true", required=True)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Create the account, or raise AccountError."""
        password = read_password()
        user = accounts.create_user(
            options["name"],
            password,
            email=options["email"],
            groups=options["groups"],
            admin=options["admin"],
        )
        self.stdout.write(f"{user.username} is registered")


def read_password() -> str:
    """One line of standard input; raises AccountError when there is none."""
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise AccountError(
            "There is no password on standard input", "Pass it as one line to --password-stdin"
        )
    return password
