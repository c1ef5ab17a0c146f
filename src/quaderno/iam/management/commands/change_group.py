"""Puts somebody into a group or takes them out of it, as a member or as a manager."""

from typing import Any

from django.core.management import BaseCommand, CommandParser

from quaderno.iam import accounts, groups


class Command(BaseCommand):
    """Groups come into being when somebody is put into them."""

    help = "Add somebody to a group, or remove them."

    def add_arguments(self, parser: CommandParser) -> None:
        """ACTION GROUP NAME [--manager]"""
        parser.add_argument("action", choices=["add", "remove"])
        parser.add_argument("group")
        parser.add_argument("name")
        parser.add_argument("--manager", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Change the group, or raise AccountError."""
        user, manager = accounts.find(options["name"]), options["manager"]
        if options["action"] == "add":
            group = accounts.ensure_group(options["group"])
            (groups.appoint if manager else groups.add)(group, user)
        else:
            group = groups.find(options["group"])
            (groups.dismiss if manager else groups.remove)(group, user)
        does = "manages" if manager else "is in"
        not_ = "" if options["action"] == "add" else " not any more"
        self.stdout.write(f"{user.username} {does} {group.name}{not_}")
