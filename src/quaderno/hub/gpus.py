"""Which GPUs servers may have, which are free, and how a container is given some; pure.

Each GPU is held by one server at a time, by name: were the engine asked for a number, it would give
the same ones to everybody.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from quaderno.config.choices import GpuChoice

# A whole GPU, as vendors' tools name them for the engine (Container Device Interface), among their
# parts and the name for all of them.
_WHOLE = re.compile(r"[^/=]+/gpu=[0-9]+")
_CDI = "cdi"


def discovered(info: Mapping[str, Any]) -> tuple[str, ...]:
    """Those that the engine knows by itself: Docker 28.2 and later, in its answer to `/info`."""
    found = [each["ID"] for each in info.get("DiscoveredDevices") or () if each["Source"] == _CDI]
    return tuple(name for name in found if _WHOLE.fullmatch(name))


def devices(choice: GpuChoice, found: tuple[str, ...]) -> tuple[str, ...]:
    """Those that servers may have: as configured, else as the engine has `found` them."""
    return found if choice.devices is None else tuple(choice.devices)


def free(there_are: Iterable[str], held: Collection[str]) -> tuple[str, ...]:
    """Those that no server holds."""
    return tuple(device for device in there_are if device not in held)


def held(states: Iterable[Mapping[str, Any] | None]) -> set[str]:
    """Those of the servers with these states, as spawners keep them."""
    return {str(device) for state in states for device in (state or {}).get("gpus", ())}


def requests(given: Sequence[str]) -> list[dict[str, Any]]:
    """What the Docker Engine API calls DeviceRequests, for these."""
    by_name = [device for device in given if "=" in device]
    by_number = [device for device in given if "=" not in device]
    wanted = [{"Driver": _CDI, "DeviceIDs": by_name}] if by_name else []
    # As of `docker run --gpus`: whichever driver of the engine can do it.
    gpu = {"DeviceIDs": by_number, "Capabilities": [["gpu"]]}
    return [*wanted, gpu] if by_number else wanted


def environment(given: Sequence[str]) -> dict[str, str]:
    """For NVIDIA's container runtime. Where that is the engine's default, an image that asks for
    all GPUs would get them unless the container says otherwise."""
    by_number = [device for device in given if "=" not in device]
    return {"NVIDIA_VISIBLE_DEVICES": ",".join(by_number) or "void"}
