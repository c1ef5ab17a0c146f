"""Lists the groups with their members and managers."""

import json
from typing import Any

from django.contrib.auth.models import Group
from django.core.management import BaseCommand

from quaderno.iam.models import User


class Command(BaseCommand):
    """As a JSON list of objects, in alphabetical order."""

    help = "List the groups, their members and managers, as JSON."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Write the list."""
        self.stdout.write(
            json.dumps([_describe(group) for group in Group.objects.order_by("name")], indent=2)
        )


def _describe(group: Group) -> dict[str, Any]:
    members = User.objects.filter(groups=group)
    managers = User.objects.filter(groupmanager__group=group)
    return {
        "name": group.name,
        "members": list(members.order_by("username").values_list("username", flat=True)),
        "managers": list(managers.order_by("username").values_list("username", flat=True)),
    }
