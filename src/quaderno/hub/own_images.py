"""Images that people brought: which are here, when they were last used, which may go; pure.

The engine keeps no record of an image's last use, so this is one: of images that servers of this
instance have run and no others, since the machine may have images for other purposes.
"""

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quaderno.config import Config

NAME = "own-images"
LABEL = "quaderno.instance"
_PROGRAM = "quaderno.hub.image_cleaning"


@dataclass(frozen=True)
class Use:
    """An image that servers have run; `last` is in seconds since 1970."""

    reference: str
    last: float


@dataclass(frozen=True)
class Here:
    """What the engine has: the bytes of each image, those that came from a registry and can come
    again, those of which there is any container, and those that our servers run, by reference."""

    sizes: Mapping[str, int]
    from_registry: frozenset[str]
    used: frozenset[str]
    ours: Mapping[str, str]


def services(config: Config, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """For `c.JupyterHub.services`; none where there is no limit.

    A process of its own with the hub's access to the engine and no right to anything in the hub.
    It gets of `environment` where settings and engine are.
    """
    if not config.servers.own_images_size:
        return []
    kept = {
        name: value
        for name, value in environment.items()
        if name == "QUADERNO_CONFIG" or name.startswith("DOCKER_")
    }
    # It must not outlive a hub that is killed.
    command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", _PROGRAM]
    return [{"name": NAME, "command": command, "environment": kept, "display": False}]


def register_file(config: Config) -> Path:
    """Where the uses are kept."""
    return config.dir / "hub" / "own-images.json"


def parse(text: str) -> dict[str, Use]:
    """The uses by image identifier, of `text` as `dump` writes it; raises ValueError."""
    try:
        return {
            identifier: Use(str(use["reference"]), float(use["last"]))
            for identifier, use in json.loads(text).items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a register of images: {error!r}") from error


def dump(register: Mapping[str, Use]) -> str:
    """As JSON."""
    return json.dumps({identifier: asdict(use) for identifier, use in register.items()}, indent=1)


def after_look(register: Mapping[str, Use], here: Here, now: float) -> dict[str, Use]:
    """The register after a look at the engine: what has gone is forgotten."""
    known = {identifier: use for identifier, use in register.items() if identifier in here.sizes}
    return known | {identifier: Use(name, now) for identifier, name in here.ours.items()}


def surplus(
    register: Mapping[str, Use], here: Here, catalogue: Collection[str], budget: int
) -> list[str]:
    """The images to remove, in this order, until the rest fits into `budget` bytes.

    Sizes are counted as if no two images shared anything. Never one of the `catalogue`, one with a
    container, or one that was built here, which nothing could bring back.
    """
    people = {
        identifier: use for identifier, use in register.items() if identifier not in catalogue
    }
    total = sum(here.sizes[identifier] for identifier in people)
    chosen = []
    for identifier in sorted(people, key=lambda each: people[each].last):
        if total <= budget:
            break
        if identifier in here.from_registry and identifier not in here.used:
            chosen.append(identifier)
            total -= here.sizes[identifier]
    return chosen
