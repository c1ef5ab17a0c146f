"""Lists the registered people."""

import json
from typing import Any

from django.core.management import BaseCommand, CommandParser

from quaderno.iam.models import State, User


class Command(BaseCommand):
    """In alphabetical order."""

    help = "List who is registered, and who asks to be."

    def add_arguments(self, parser: CommandParser) -> None:
        """[--json]"""
        parser.add_argument("--json", action="store_true", help="a JSON list of objects")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Write one line a person, or one JSON list."""
        with_address = User.objects.filter(emailaddress__verified=True)
        confirmed = set(with_address.values_list("pk", flat=True))
        users = [
            _describe(user, confirmed=user.pk in confirmed)
            for user in User.objects.prefetch_related("groups").order_by("username")
        ]
        if options["json"]:
            self.stdout.write(json.dumps(users, indent=2))
            return
        for user in users:
            state = "admin" if user["admin"] and user["state"] == "active" else user["state"]
            columns = [user["name"], user["email"], ",".join(user["groups"]), state]
            self.stdout.write("\t".join(columns).rstrip())


def _describe(user: User, *, confirmed: bool) -> dict[str, Any]:
    """A request whose address is not `confirmed` is nothing to decide yet."""
    unconfirmed = user.state == State.WAITING and not confirmed
    return {
        "name": user.username,
        "email": user.email,
        "groups": sorted(group.name for group in user.groups.all()),
        "admin": user.is_superuser,
        "state": "unconfirmed" if unconfirmed else user.state,
        "last_login": user.last_login.isoformat() if user.last_login else None,
    }
