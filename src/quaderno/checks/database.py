"""The hub's database: it can be copied before an upgrade."""

import shutil
from collections.abc import Iterator

from quaderno.checks.finding import Finding, warning
from quaderno.config import Config


def check_pg_dump(config: Config, path: str | None = None) -> Iterator[Finding]:
    """Without a copy no schema is changed, and then the hub of a new version does not start."""
    wanted = (config.hub.database or "").startswith("postgresql:")
    if wanted and not shutil.which("pg_dump", path=path):
        yield warning(
            "pg-dump",
            "there is no pg_dump, so the hub's database cannot be copied before an upgrade",
            "Install postgresql-client, as new as the server",
        )
