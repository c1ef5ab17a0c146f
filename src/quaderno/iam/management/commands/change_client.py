"""Registers other applications than the hub, or ends their registration."""

import json
from typing import Any

from django.core.management import BaseCommand, CommandParser

from quaderno.iam import clients


class Command(BaseCommand):
    """Says what the application must know, its secret included."""

    help = "Register an application, or remove one."

    def add_arguments(self, parser: CommandParser) -> None:
        """ACTION ID [--name NAME] [--redirect-uri URI]..."""
        parser.add_argument("action", choices=["add", "remove"])
        parser.add_argument("id")
        parser.add_argument("--name", default="")
        parser.add_argument("--redirect-uri", action="append", default=[])

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Change it, or raise AccountError; what was made is written as JSON."""
        if options["action"] == "remove":
            clients.remove(options["id"])
            return
        secret = clients.add(
            options["id"], options["name"] or options["id"], options["redirect_uri"]
        )
        self.stdout.write(json.dumps({"client_id": options["id"], "client_secret": secret}))
