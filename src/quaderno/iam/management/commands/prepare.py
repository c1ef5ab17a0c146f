"""Everything before a start, in one process: importing Django takes longer than the work."""

import sqlite3
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from quaderno import backups
from quaderno.errors import ComponentError
from quaderno.iam import accounts


class Command(BaseCommand):
    """Idempotent; also forgets sessions, tokens and requests that have expired."""

    help = "Bring the database up to date, register the hub, forget what has expired."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Run the commands in order."""
        _back_up_before_changes()
        call_command("migrate", verbosity=0, interactive=False)
        call_command("ensure_client")
        call_command("clearsessions")
        call_command("oidc_cleartokens")
        accounts.forget_unconfirmed()


def _back_up_before_changes() -> None:
    """A copy of a database that an older version made, and none of one that is new or current.

    Raises ComponentError when it cannot be taken: nothing is changed then.
    """
    executor = MigrationExecutor(connection)
    applied = executor.loader.applied_migrations
    if not applied or not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    last = max(name for app, name in applied if app == "iam")
    database = Path(settings.DATABASES["default"]["NAME"])
    try:
        with backups.copy(database.parent, f"{database.stem}-{last}", "sqlite") as target:
            backups.copy_sqlite(database, target)
    except (OSError, sqlite3.Error) as error:
        raise ComponentError(
            f"the identity provider's database cannot be copied before its upgrade: {error}",
            "It is as it was; look at the disk of the state directory",
        ) from error
