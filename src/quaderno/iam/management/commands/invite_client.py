"""Makes a token with which an application may register itself."""

import json
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandParser
from django.urls import reverse

from quaderno.iam import clients


class Command(BaseCommand):
    """It is shown only now."""

    help = "Let one application register itself."

    def add_arguments(self, parser: CommandParser) -> None:
        """--days DAYS"""
        parser.add_argument("--days", type=int, default=1)

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Write token and address as JSON, or raise AccountError."""
        token = clients.invite(options["days"])
        endpoint = settings.QUADERNO.iam_url + reverse("client_registration")
        self.stdout.write(json.dumps({"token": token, "registration_endpoint": endpoint}))
