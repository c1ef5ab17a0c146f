"""Settings of the database that the hub keeps what it knows in."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from quaderno.config.kinds import NeededBy, Secret
from quaderno.config.section import Section

_SCHEMES = ("sqlite", "postgresql")


class Database(Section):
    """Where it is, and how one gets in."""

    database: Annotated[str | None, NeededBy("hub")] = Field(
        None,
        description="URL of the hub's database: `postgresql://USER@HOST/NAME`, or "
        "`sqlite:////PATH`; SQLite in `hub/` when unset.",
    )
    database_password: Annotated[Secret, NeededBy("hub")] = Field(
        SecretStr(""),
        description="Password of the user that `database` names; empty where PostgreSQL asks for "
        "none.",
    )

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.database is None:
            return self
        parts = urlsplit(self.database)
        if parts.scheme not in _SCHEMES:
            raise ValueError("`database` begins with postgresql:// or sqlite:///")
        if parts.password is not None or "password" in parts.query:
            raise ValueError("the password belongs in `database_password`, not in `database`")
        if parts.scheme == "sqlite" and not self.database.startswith("sqlite:////"):
            raise ValueError("`database` needs a whole path, as in sqlite:////srv/hub.sqlite")
        if parts.scheme == "postgresql" and not parts.path.strip("/"):
            raise ValueError("`database` names no database, as in postgresql://hub@host/quaderno")
        return self
