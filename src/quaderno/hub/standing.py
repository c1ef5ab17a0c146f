"""What sites tell each other: how they are, and whose server runs or ran there; pure.

Answers of other sites are read by these types, so that a site of another version, or something
else at its address, counts as a site that does not answer.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

API = "/hub/api/quaderno/site"


class Stay(BaseModel):
    """A person's server at a site; `at` is when it was last used, in Unix seconds, and `options`
    are those it was started with."""

    model_config = ConfigDict(frozen=True)

    running: bool
    at: float
    options: dict[str, Any] = Field(default={}, max_length=8)


class Standing(BaseModel):
    """A site as it says it is: why no server can be started there, if so, and what is free: CPUs,
    and bytes of memory; and by how many seconds its store is behind the other, where they replicate
    each other and that is known. `stay` is of the person who was asked about."""

    model_config = ConfigDict(frozen=True)

    name: str
    problems: tuple[str, ...] = ()
    cpu: float = 0
    memory: int = 0
    behind: float | None = None
    stay: Stay | None = None

    @property
    def ready(self) -> bool:
        """Whether servers can be started there."""
        return not self.problems

    @property
    def runs(self) -> bool:
        """Whether the person's server runs there."""
        return self.stay is not None and self.stay.running
