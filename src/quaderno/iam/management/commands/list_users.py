"""Lists the registered people."""

import json
from typing import Any

from django.core.management import BaseCommand, CommandParser

from quaderno.iam.models import User


class Command(BaseCommand):
    """In alphabetical order."""

    help = "List who is registered, and who asks to be."

    def add_arguments(self, parser: CommandParser) -> None:
        """[--json]"""
        parser.add_argument("--json", action="store_true", help="a JSON list of objects")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Write one line a person, or one JSON list."""
        users = [
            _describe(user) for user in User.objects.prefetch_related("groups").order_by("username")
        ]
        if options["json"]:
            self.stdout.write(json.dumps(users, indent=2))
            return
        for user in users:
            state = "admin" if user["admin"] and user["state"] == "active" else user["state"]
            columns = [user["name"], user["email"], ",".join(user["groups"]), state]
            self.stdout.write("\t".join(columns).rstrip())


def _describe(user: User) -> dict[str, Any]:
    return {
        "name": user.username,
        "email": user.email,
        "groups": sorted(group.name for group in user.groups.all()),
        "admin": user.is_superuser,
        "state": user.state,
        "last_login": user.last_login.isoformat() if user.last_login else None,
    }
