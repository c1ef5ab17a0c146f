"""What the machine has, what running servers may use of it, and what that leaves; mostly pure.

Limits are no reservations unless `servers.room` makes them so: what is free is what no running
server's limit covers, and the form says it for people to choose by. What the machine as a whole
does not have is impossible; what it has no room for now may be waited for (`line`).
"""

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from docker import APIClient
from docker.errors import DockerException

from quaderno.config import Config
from quaderno.hub import gpus, options, pulling
from quaderno.hub.options import Bounds, ServerOptions

_WITHIN = 2.0  # seconds for the engine to answer; the form is shown anyway
_MANY = 999  # GPUs: more than any machine has
_KEPT_FOR = 60.0  # seconds: machines grow seldom


@dataclass(frozen=True)
class Amount:
    """CPUs, bytes of memory and GPUs: of a machine, or of the limits of servers."""

    cpu: float
    memory: float
    gpu: float = 0

    def __sub__(self, other: "Amount") -> "Amount":
        """What is left, and never less than nothing."""
        return Amount(
            max(0, self.cpu - other.cpu),
            max(0, self.memory - other.memory),
            max(0, self.gpu - other.gpu),
        )


class Machine:
    """What the engine has, asked for once a minute; None until it has answered.

    `gpus` are those that it discovers by itself, which an operator may have replaced.
    """

    def __init__(self) -> None:
        self.has: Amount | None = None
        self.gpus: tuple[str, ...] = ()
        self._asked = -_KEPT_FOR

    async def look(self, client: APIClient) -> None:
        """Ask the engine, if it is time. Raises nothing: what was known stays known."""
        if time.monotonic() - self._asked < _KEPT_FOR:
            return
        try:
            async with asyncio.timeout(_WITHIN), pulling.connection(client) as engine:
                info = (await engine.get("/info")).raise_for_status().json()
                self.has = Amount(float(info["NCPU"]), int(info["MemTotal"]))
                self.gpus = gpus.discovered(info)
        except (TimeoutError, httpx.HTTPError, DockerException, ValueError, KeyError):
            return
        self._asked = time.monotonic()


def room(config: Config, machine: Amount | None) -> Amount:
    """What the limits of running servers may add up to; infinite where there is no such rule."""
    times = config.servers.room
    if machine is None:
        return Amount(math.inf, math.inf)
    return Amount(
        machine.cpu * times.cpu if times.cpu else math.inf,
        machine.memory * times.memory if times.memory else math.inf,
    )


def whole(config: Config, machine: Amount) -> Amount:
    """What of `machine` servers share out: its room where there is such a rule, else all of it."""
    limited = room(config, machine)
    return Amount(
        limited.cpu if math.isfinite(limited.cpu) else machine.cpu,
        limited.memory if math.isfinite(limited.memory) else machine.memory,
        machine.gpu,
    )


def bounds(
    config: Config, groups: Iterable[str], machine: Amount | None, free: Amount | None = None
) -> Bounds:
    """The most that a member of `groups` may have on `machine`, of which `free` is left now."""
    groups = frozenset(groups)
    servers = config.servers
    cpu, memory = servers.cpu.limit_of(groups), servers.memory.limit_of(groups)
    if machine is None:
        return Bounds(cpu, memory, groups=groups)
    limited, free = room(config, machine), free or Amount(math.inf, math.inf, math.inf)
    return Bounds(
        cpu,
        memory,
        machine_cpu=min(machine.cpu, limited.cpu),
        machine_memory=min(machine.memory, limited.memory),
        free_cpu=free.cpu,
        free_memory=free.memory,
        groups=groups,
        gpu=servers.gpu.limit_of(groups),
        machine_gpu=int(machine.gpu),
        free_gpu=free.gpu,
    )


def taken(config: Config, running: Iterable[Mapping[str, Any]]) -> Amount:
    """What servers with these options may use together: each what it was given, whatever limits
    its person's groups have."""
    chosen = [given(config, asked) for asked in running]
    return Amount(
        sum(one.cpu for one in chosen),
        sum(one.memory for one in chosen),
        sum(one.gpu for one in chosen),
    )


def given(config: Config, asked: Mapping[str, Any]) -> ServerOptions:
    """What a running server with these options was given."""
    servers = config.servers
    most_cpu, most_memory = max(servers.cpu.choices), max(servers.memory.choices)
    groups = frozenset(group for image in servers.images for group in image.groups)
    groups |= frozenset(servers.own_images_groups)
    anybodys = Bounds(most_cpu, most_memory, groups=groups, gpu=_MANY, machine_gpu=_MANY)
    return options.possible(config, asked, anybodys)


def in_words(machine: Amount, by_all: Amount, own: Amount, *, waiting: int = 0) -> str:
    """What is free, for the form; `waiting` is how many starts wait for room."""
    free = machine - by_all
    words = (
        f"Free now: {_cpus(free)} of {machine.cpu:g} CPUs,"
        f" {_gigabytes(free)} of {_gigabytes(machine)} GB of memory"
    )
    words += f", {free.gpu:g} of {machine.gpu:g} GPUs." if machine.gpu else "."
    if own.memory:
        words += f" Your running servers may use {_cpus(own)} CPUs, {_gigabytes(own)} GB"
        words += f", {own.gpu:g} GPU{'s' if own.gpu > 1 else ''}." if own.gpu else "."
    if waiting:
        words += " 1 start waits for room." if waiting == 1 else f" {waiting} starts wait for room."
    return words


def left_in_words(whole: Amount, by_all: Amount) -> str:
    """Of the room that there is, for a start that found too little."""
    free = whole - by_all
    left = [f"{_gigabytes(free)} GB of memory"] if math.isfinite(free.memory) else []
    left += [f"{_cpus(free)} CPUs"] if math.isfinite(free.cpu) else []
    return f"{' and '.join(left)} {'are' if left else 'nothing is'} free"


def gpus_in_words(whole: Amount, by_all: Amount) -> str:
    """The same, of GPUs."""
    free = (whole - by_all).gpu
    return f"{free:g} of {whole.gpu:g} {'is' if free == 1 else 'are'} free"


def _cpus(amount: Amount) -> str:
    return f"{round(amount.cpu, 2):g}"


def _gigabytes(amount: Amount) -> str:
    """In units of 2^30 bytes, as the choices are."""
    return f"{round(amount.memory / 2**30, 1):g}"
