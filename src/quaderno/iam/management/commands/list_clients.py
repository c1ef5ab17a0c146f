"""Lists the registered applications."""

import json
from typing import Any

from allauth.idp.oidc.models import Client
from django.core.management import BaseCommand

from quaderno.iam.client_rules import answers_at


class Command(BaseCommand):
    """As a JSON list of objects, in alphabetical order."""

    help = "List the applications that may send people here, as JSON."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Write the list."""
        found = [_describe(client) for client in Client.objects.order_by("id")]
        self.stdout.write(json.dumps(found, indent=2))


def _describe(client: Client) -> dict[str, Any]:
    device = Client.GrantType.DEVICE_CODE in client.get_grant_types()
    return {
        "id": client.id,
        "name": client.name,
        "answers_at": answers_at(client) or (["device flow"] if device else []),
        "since": client.created_at.isoformat(timespec="seconds"),
    }
