"""Everything before a start, in one process: importing Django takes longer than the work."""

from typing import Any

from django.core.management import BaseCommand, call_command

from quaderno.iam import accounts


class Command(BaseCommand):
    """Idempotent; also forgets sessions, tokens and requests that have expired."""

    help = "Bring the database up to date, register the hub, forget what has expired."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Run the commands in order."""
        call_command("migrate", verbosity=0, interactive=False)
        call_command("ensure_client")
        call_command("clearsessions")
        call_command("oidc_cleartokens")
        accounts.forget_unconfirmed()
