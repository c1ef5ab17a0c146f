"""What a check yields."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing: `problem` says what is wrong, `hint` what to do, each in a line."""

    id: str
    level: Literal["error", "warning"]
    problem: str
    hint: str


def error(identifier: str, problem: str, hint: str) -> Finding:
    """`quaderno up` cannot succeed."""
    return Finding(identifier, "error", problem, hint)


def warning(identifier: str, problem: str, hint: str) -> Finding:
    """Something will be missing, or unsafe."""
    return Finding(identifier, "warning", problem, hint)
