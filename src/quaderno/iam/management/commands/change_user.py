"""Decides on an account: a request for one, or one that is there."""

from typing import Any

from django.core.management import BaseCommand, CommandParser

from quaderno.errors import AccountError
from quaderno.iam import accounts
from quaderno.iam.models import State

_WITHOUT_REASON = {"approve": accounts.approve, "enable": accounts.reinstate}
_WITH_REASON = {"reject": accounts.reject, "disable": accounts.suspend}


class Command(BaseCommand):
    """The person sees the reason when they log in."""

    help = "Approve or reject a request; disable or enable an account."

    def add_arguments(self, parser: CommandParser) -> None:
        """ACTION NAME [--reason R]"""
        parser.add_argument("action", choices=[*_WITHOUT_REASON, *_WITH_REASON])
        parser.add_argument("name")
        parser.add_argument("--reason", default="")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Change the state, or raise AccountError."""
        action, user = options["action"], accounts.find(options["name"])
        if action in _WITHOUT_REASON:
            _WITHOUT_REASON[action](user)
        elif options["reason"].strip():
            _WITH_REASON[action](user, options["reason"])
        else:
            raise AccountError("There is no reason", "Say why with --reason: the person sees it")
        self.stdout.write(f"{user.username} is {State(user.state).label}")
