"""What people may choose, and what is said of the machine."""

import asyncio
import math
from typing import Any

import docker
import pytest
from pydantic import ValidationError

from quaderno.config import Config, CpuChoice, MemoryChoice
from quaderno.hub import capacity
from quaderno.hub.capacity import Amount, Machine
from quaderno.hub.options import Bounds
from tests.ports import free_ports

GIB = 2**30


def by_group(config: Config) -> Config:
    cpu = CpuChoice(limit=1, group_limits={"big": 4, "/small": 0.5, "/huge": 99})
    memory = MemoryChoice.model_validate({"group_limits": {"/small": "1G"}})
    servers = config.servers.model_copy(update={"cpu": cpu, "memory": memory})
    return config.model_copy(update={"servers": servers})


@pytest.mark.parametrize(
    ("groups", "cpu", "memory"),
    [
        ([], 1, 8 * GIB),
        (["/others"], 1, 8 * GIB),
        (["/small"], 0.5, GIB),
        (["/small", "/big"], 4, GIB),
        (["/huge"], 4, 8 * GIB),  # not more than the most of the choices
    ],
)
def test_of_several_groups_the_largest_limit_counts(
    config: Config, groups: list[str], cpu: float, memory: int
) -> None:
    found = capacity.bounds(by_group(config), groups, None)
    assert found == Bounds(cpu, memory, groups=frozenset(groups))


def test_the_machine_bounds_everybody(config: Config) -> None:
    assert capacity.bounds(config, [], Amount(2, 4 * GIB)) == Bounds(4, 8 * GIB, 2, 4 * GIB, gpu=8)


def test_room_bounds_everybody_too_and_what_is_left_of_it_now(config: Config) -> None:
    room = config.servers.room.model_copy(update={"memory": 0.5, "cpu": 4})
    servers = config.servers.model_copy(update={"room": room})
    limited = config.model_copy(update={"servers": servers})
    machine = Amount(2, 8 * GIB)
    assert capacity.room(limited, machine) == Amount(8, 4 * GIB)
    assert capacity.room(config, machine) == Amount(math.inf, math.inf)
    assert capacity.whole(limited, machine) == Amount(8, 4 * GIB), (
        "of which the form says what is free"
    )
    assert capacity.whole(config, machine) == machine
    found = capacity.bounds(limited, [], machine, Amount(1, GIB))
    assert found == Bounds(4, 8 * GIB, 2, 4 * GIB, 1, GIB, gpu=8, free_gpu=0)


@pytest.mark.parametrize(
    "choice", [{"limit": 0.1}, {"limit": 0}, {"group_limits": {"a": 0.1}}, {"default": 3}]
)
def test_a_limit_leaves_something_to_choose(choice: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CpuChoice.model_validate(choice)


def test_what_is_free_is_what_no_servers_limit_covers(config: Config) -> None:
    running: list[dict[str, Any]] = [
        {"cpu": 0.5, "memory": "1G", "image": "base"},
        {"cpu": "not a number", "image": "gone/since:1"},  # counts as the default
        {},
    ]
    by_all = capacity.taken(config, running)
    assert by_all == Amount(2.5, 5 * GIB)
    own = capacity.taken(config, running[:1])
    assert capacity.in_words(Amount(4, 8 * GIB), by_all, own) == (
        "Free now: 1.5 of 4 CPUs, 3 of 8 GB of memory. Your running servers may use 0.5 CPUs, 1 GB."
    )
    nothing = capacity.taken(config, [])
    assert capacity.in_words(Amount(2, 4 * GIB), by_all, nothing) == (
        "Free now: 0 of 2 CPUs, 0 of 4 GB of memory."
    )


def test_a_server_counts_with_what_its_persons_group_may_have(config: Config) -> None:
    assert capacity.taken(by_group(config), [{"cpu": 4, "memory": "8G"}]) == Amount(4, 8 * GIB)


def test_a_machine_whose_engine_is_away_is_not_known() -> None:
    machine = Machine()
    with docker.APIClient(f"tcp://127.0.0.1:{free_ports()}", version="1.41") as client:
        asyncio.run(machine.look(client))
    assert machine.has is None
