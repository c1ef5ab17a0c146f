"""How much of the machine people may choose, by group."""

from collections.abc import Iterable
from typing import Annotated, Self, TypeVar

from pydantic import Field, model_validator

from quaderno.config.kinds import Group, Memory
from quaderno.config.section import Section
from quaderno.quantities import parse_memory

N = TypeVar("N", int, float)

# As nobody's shell or template would change it.
Device = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:=-]*$")]
Cpus = Annotated[float, Field(gt=0)]
_CHOICES = "Offered in the form; the API takes any value between the least and the most."
_DEFAULT = "Chosen when nothing else is."
_LIMIT = "The most that somebody may choose; the most of `choices` when unset."
_GROUP_LIMITS = (
    "By name of a group, what counts for its members instead of `limit`; of several groups, the "
    "largest."
)


class CpuChoice(Section):
    """How many CPUs a server may have."""

    default: float = Field(1, gt=0, description=_DEFAULT)
    choices: list[float] = Field([0.5, 1, 2, 4], min_length=1, description=_CHOICES)
    limit: Cpus | None = Field(None, description=_LIMIT)
    group_limits: dict[Group, Cpus] = Field({}, description=_GROUP_LIMITS)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check(self.default, self.choices, self.limit, self.group_limits)
        return self

    def limit_of(self, groups: Iterable[str]) -> float:
        """CPUs that a member of `groups` may have."""
        return _limit_of(groups, self.choices, self.limit, self.group_limits)


class MemoryChoice(Section):
    """How much memory a server may have."""

    default: Memory = Field(parse_memory("2G"), description=_DEFAULT)
    choices: list[Memory] = Field(
        [parse_memory(amount) for amount in ("1G", "2G", "4G", "8G")],
        min_length=1,
        description=_CHOICES,
    )
    limit: Memory | None = Field(None, description=_LIMIT)
    group_limits: dict[Group, Memory] = Field({}, description=_GROUP_LIMITS)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        _check(self.default, self.choices, self.limit, self.group_limits)
        return self

    def limit_of(self, groups: Iterable[str]) -> int:
        """Bytes that a member of `groups` may have."""
        return _limit_of(groups, self.choices, self.limit, self.group_limits)


class GpuChoice(Section):
    """GPUs for servers, where the machine has any; each is one server's at a time."""

    devices: list[Device] | None = Field(
        None,
        description="Those that servers may have: numbers or UUIDs as of `nvidia-smi -L`, or names "
        "of the Container Device Interface such as `nvidia.com/gpu=0`. When unset, those that the "
        "engine discovers by itself (Docker 28.2 and later); an empty list: none.",
    )
    choices: list[Annotated[int, Field(ge=0)]] = Field(
        [0, 1, 2, 4, 8],
        description="Offered in the form, as far as the machine has so many; none is the default.",
    )
    limit: int | None = Field(
        None, ge=0, description="The most that somebody may choose; all when unset."
    )
    group_limits: dict[Group, Annotated[int, Field(ge=0)]] = Field({}, description=_GROUP_LIMITS)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if 0 not in self.choices:
            raise ValueError("`choices` must include 0")
        if self.devices and len(set(self.devices)) < len(self.devices):
            raise ValueError("`devices` names one twice")
        return self

    def limit_of(self, groups: Iterable[str]) -> int:
        """GPUs that a member of `groups` may have."""
        return _limit_of(groups, self.choices, self.limit, self.group_limits)


class Room(Section):
    """What running servers may have together, and who waits for it."""

    cpu: float = Field(
        0,
        ge=0,
        description="How many times the machine's CPUs the limits of running servers may add up "
        "to; 0: any number, and servers share.",
    )
    memory: float = Field(0, ge=0, description="The same for the machine's memory.")
    waiting: int = Field(
        20,
        ge=0,
        description="Starts that may wait at a time until others have stopped; 0: none, and what "
        "has no room is refused.",
    )
    patience: int = Field(
        3600, ge=1, le=12 * 3600, description="Seconds that a start waits for room at most."
    )


def _check(default: N, choices: list[N], limit: N | None, group_limits: dict[str, N]) -> None:
    if default not in choices or min(choices) <= 0:
        raise ValueError("`choices` must be positive and include `default`")
    limits = [*group_limits.values(), *([] if limit is None else [limit])]
    if limits and min(limits) < min(choices):
        raise ValueError("no limit may be below the least of `choices`")


def _limit_of(
    groups: Iterable[str], choices: list[N], limit: N | None, group_limits: dict[str, N]
) -> N:
    most = max(choices)
    theirs = [group_limits[group] for group in groups if group in group_limits]
    return min(most, max(theirs) if theirs else most if limit is None else limit)
