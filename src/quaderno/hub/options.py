"""Server options: what is on offer, and what a person asked for.

The form and the REST API come through the same `parse`; nothing the browser sends is trusted.
Pure: reads the configuration, touches nothing.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlencode

from quaderno.config import Config, Image
from quaderno.config.kinds import is_reference
from quaderno.errors import OptionsError
from quaderno.quantities import format_memory, parse_memory

KEYS = ("image", "cpu", "memory", "gpu", "wait")
# Field of the form for an image of one's own; when filled in it wins over the drop-down.
OWN_IMAGE_FIELD = "own_image"


@dataclass(frozen=True)
class ServerOptions:
    """A server somebody may have: an image reference, CPUs (a fraction is a share), bytes, GPUs."""

    image: str
    cpu: float
    memory: int
    gpu: int = 0
    wait: bool = False  # until there is room, where that is limited


@dataclass(frozen=True)
class Bounds:
    """What somebody may have: by their groups, by what the machine has, and now."""

    cpu: float
    memory: int
    machine_cpu: float = math.inf
    machine_memory: float = math.inf
    free_cpu: float = math.inf
    free_memory: float = math.inf
    groups: frozenset[str] = frozenset()
    gpu: int = 0
    machine_gpu: int = 0
    free_gpu: float = math.inf


@dataclass(frozen=True)
class Choice:
    """One entry of a drop-down; `reason` when it cannot be chosen, `busy` when it cannot now."""

    value: str
    label: str
    selected: bool
    reason: str = ""
    busy: bool = False


@dataclass(frozen=True)
class Offer:
    """What the form shows; `own_image` is what to put in the field for an own image.

    `suggested` when the selection comes from a link somebody followed.
    """

    images: list[Image]
    selected_image: str
    own_images_allowed: bool
    own_image: str
    cpus: list[Choice]
    memories: list[Choice]
    gpus: list[Choice]  # none where the machine has none
    suggested: bool
    refused: tuple[str, ...] = ()  # what of a link cannot be had, in sentences
    free: str = ""  # what is free on the machine, in a sentence
    link: str = ""  # the query of a link that makes the selection again
    wait_minutes: int = 0  # that a start may wait for room; 0 where it never has to, or may not


def offer(
    config: Config,
    last: Mapping[str, Any],
    *,
    suggested: bool = False,
    bounds: Bounds | None = None,
    free: str = "",
) -> Offer:
    """The form's choices, with those of `last` selected where they are possible.

    `last` is what was asked before, trusted no more than anything new. An image that cannot be
    is shown as it was typed, to be corrected.
    """
    bounds = bounds or _everybody(config)
    chosen = possible(config, last, bounds)
    servers = config.servers
    images = servers.images_for(bounds.groups)
    catalogue = {image.reference: image.name for image in images}
    wanted = last.get("image")
    typed = isinstance(wanted, str) and wanted not in (*catalogue, *catalogue.values())
    return Offer(
        images=images,
        selected_image=catalogue.get(chosen.image, images[0].name),
        own_images_allowed=bool(servers.own_images_for(bounds.groups)),
        own_image=str(wanted)[:512] if typed else "",
        cpus=[
            Choice(
                f"{cpu:g}",
                "1 CPU" if cpu == 1 else f"{cpu:g} CPUs",
                cpu == chosen.cpu,
                _why_not(cpu, bounds.cpu, bounds.machine_cpu),
                cpu > bounds.free_cpu,
            )
            for cpu in sorted(servers.cpu.choices)
        ],
        memories=[
            Choice(
                format_memory(amount),
                _size(amount),
                amount == chosen.memory,
                _why_not(amount, bounds.memory, bounds.machine_memory),
                amount > bounds.free_memory,
            )
            for amount in sorted(servers.memory.choices)
        ],
        gpus=_gpu_choices(config, bounds, chosen.gpu),
        suggested=suggested,
        refused=refused(config, last, bounds) if suggested else (),
        free=free,
        link=_link(catalogue.get(chosen.image, chosen.image), chosen),
        wait_minutes=_wait_minutes(config, bounds),
    )


def _gpu_choices(config: Config, bounds: Bounds, chosen: int) -> list[Choice]:
    there = sorted(n for n in set(config.servers.gpu.choices) if n <= bounds.machine_gpu)
    return [
        Choice(
            str(gpu),
            ("No GPU", "1 GPU")[gpu] if gpu < 2 else f"{gpu} GPUs",
            gpu == chosen,
            _why_not(gpu, bounds.gpu, bounds.machine_gpu),
            gpu > bounds.free_gpu,
        )
        for gpu in (there if bounds.machine_gpu else ())
    ]


def _link(image: str, chosen: ServerOptions) -> str:
    """With the prefix by which JupyterHub knows options in an address."""
    memory = format_memory(chosen.memory)
    asked = {"image": image, "cpu": f"{chosen.cpu:g}", "memory": memory}
    asked |= {"gpu": str(chosen.gpu)} if chosen.gpu else {}
    return urlencode({f"opt-{key}": value for key, value in asked.items()})


def _wait_minutes(config: Config, bounds: Bounds) -> int:
    room = config.servers.room
    limited = room.cpu or room.memory or bounds.machine_gpu
    return math.ceil(room.patience / 60) if room.waiting and limited else 0


def _why_not(value: float, limit: float, machine: float) -> str:
    """Empty when `value` may be chosen."""
    if value > machine:
        return "more than this machine has"
    return "more than your groups may have" if value > limit else ""


def _everybody(config: Config) -> Bounds:
    """What whoever is in no group may have on a machine that has enough."""
    return Bounds(config.servers.cpu.limit_of(()), config.servers.memory.limit_of(()))


def possible(
    config: Config, asked: Mapping[str, Any], bounds: Bounds | None = None
) -> ServerOptions:
    """Those of the options that `parse` takes, and the defaults for the others."""
    named = [key for key in KEYS if key in asked]
    taken = {key: asked[key] for key in named if not _problem(config, key, asked[key], bounds)}
    return parse(config, taken, bounds)


def refused(config: Config, asked: Mapping[str, Any], bounds: Bounds) -> tuple[str, ...]:
    """Why `possible` does not take each of the others. An image that looks like one is left to the
    form, which shows it as it was asked for."""
    problems = (_problem(config, key, value, bounds) for key, value in asked.items())
    return tuple(problem for problem in problems if problem)


def _problem(config: Config, key: str, value: Any, bounds: Bounds | None) -> str:
    """Why `parse` does not take this option, in a sentence; empty when it does."""
    try:
        parse(config, {key: value}, bounds)
    except OptionsError as error:
        return error.message
    return ""


def _size(amount: int) -> str:
    """`amount` bytes for people: `2 GB`."""
    text = format_memory(amount)
    return f"{text[:-1]} {text[-1]}B" if text[-1].isalpha() else f"{text} bytes"


def from_form(data: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The form's fields (each a list of strings, as browsers send them) as server options."""
    fields = {key: values[-1] for key, values in data.items() if values and key != "_xsrf"}
    own = fields.pop(OWN_IMAGE_FIELD, "")
    if isinstance(own, str) and own.strip():
        fields["image"] = own.strip()
    return fields


def parse(config: Config, data: Mapping[str, Any], bounds: Bounds | None = None) -> ServerOptions:
    """`data` (from the form or the API) as options this configuration allows within `bounds`.

    Raises OptionsError with a sentence that says what is allowed.
    """
    unknown = sorted(str(key) for key in data if key not in KEYS)
    if unknown:
        raise OptionsError(
            f"Unknown server option {quote(unknown[0])}: the options are {', '.join(KEYS[:-1])}"
            f" and {KEYS[-1]}."
        )
    servers = config.servers
    bounds = bounds or _everybody(config)
    first = servers.images_for(bounds.groups)[0]
    # Never below the least: an operator's mistake is the engine's to refuse.
    cpus, amounts = servers.cpu.choices, servers.memory.choices
    most_cpu = max(min(cpus), min(bounds.cpu, bounds.machine_cpu))
    most_memory = max(min(amounts), int(min(bounds.memory, bounds.machine_memory)))
    return ServerOptions(
        image=permitted(config, data.get("image", first.name), bounds.groups),
        cpu=_cpu(data.get("cpu", min(servers.cpu.default, most_cpu)), min(cpus), most_cpu),
        memory=_memory(
            data.get("memory", min(servers.memory.default, most_memory)), min(amounts), most_memory
        ),
        gpu=_gpu(data.get("gpu", 0), bounds),
        wait=_wait(data.get("wait", False)),
    )


def permitted(config: Config, value: Any, groups: Collection[str]) -> str:
    """The reference of the image `value`, for a member of `groups`. Raises OptionsError."""
    images = config.servers.images_for(groups)
    for image in images:
        if value in (image.name, image.reference):
            return image.reference
    names = ", ".join(image.name for image in images)
    if not isinstance(value, str) or not is_reference(value):
        raise OptionsError(
            f"{quote(value)} is not an image: use a name of the catalogue ({names})"
            " or an image reference such as registry.example.org/group/image:tag."
        )
    if any(value in (image.name, image.reference) for image in config.servers.images):
        raise OptionsError(f"The image {quote(value)} is not for your groups: choose {names}.")
    own = config.servers.own_images_for(groups)
    if not any(fnmatchcase(value, pattern) for pattern in own):
        allowed = " or one that matches ".join([f"one of the catalogue ({names})", *own])
        raise OptionsError(f"The image {quote(value)} is not allowed here: choose {allowed}.")
    return value


def _cpu(value: Any, least: float, most: float) -> float:
    try:
        cpu = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        cpu = math.nan
    if not least <= cpu <= most:
        raise OptionsError(f"cpu must be a number from {least:g} to {most:g}, not {quote(value)}.")
    return cpu


def _memory(value: Any, least: int, most: int) -> int:
    try:
        memory = parse_memory(value)
    except (ValueError, OverflowError):
        memory = -1
    if not least <= memory <= most:
        raise OptionsError(
            f"memory must be an amount from {format_memory(least)} to {format_memory(most)},"
            f" such as {format_memory(most)}, not {quote(value)}."
        )
    return memory


def _gpu(value: Any, bounds: Bounds) -> int:
    most = min(bounds.gpu, bounds.machine_gpu)
    text = "" if isinstance(value, bool) else str(value)
    if not (text.isascii() and text.isdigit() and len(text) < 4 and int(text) <= most):
        raise OptionsError(_no_gpus(value, bounds, most))
    return int(text)


def _no_gpus(value: Any, bounds: Bounds, most: int) -> str:
    if most:
        return f"gpu must be a whole number from 0 to {most}, not {quote(value)}."
    why = "your groups may have none" if bounds.machine_gpu else "this machine has none"
    return f"gpu must be 0, not {quote(value)}: {why}."


def _wait(value: Any) -> bool:
    if value in ("true", "false"):  # as a form has it
        return bool(value == "true")
    if not isinstance(value, bool):
        raise OptionsError(f"wait must be true or false, not {quote(value)}.")
    return value


def quote(value: Any) -> str:
    """`value` short and on one line, for a sentence."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return f"“{text[:80]}…”" if len(text) > 80 else f"“{text}”"
