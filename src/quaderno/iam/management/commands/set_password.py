"""Gives a person a new password."""

from typing import Any

from django.core.management import BaseCommand, CommandParser

from quaderno.iam import accounts
from quaderno.iam.management.commands.add_user import read_password


class Command(BaseCommand):
    """Ends what they have open with the old one."""

    help = "Give a person a new password, one line on standard input."

    def add_arguments(self, parser: CommandParser) -> None:
        """NAME --password-stdin"""
        parser.add_argument("name")
        parser.add_argument("--password-stdin", action="store_true", required=True)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Change it, or raise AccountError."""
        user = accounts.find(options["name"])
        accounts.set_password(user, read_password())
        self.stdout.write(f"{user.username} has a new password")
