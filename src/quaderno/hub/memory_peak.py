"""How much memory a running container has had at the most, as its control group says.

The engine's own statistics have this for control groups of version 1 only, and say nothing of a
container that has ended; so it is read while the container runs.
"""

from pathlib import Path
from typing import Any

# Files below a container's control group, of version 2 (Linux 5.19 and later) and 1.
_FILES = {"": "memory.peak", "memory": "memory.max_usage_in_bytes"}


def peak(
    inspected: dict[str, Any],
    processes: Path = Path("/proc"),
    groups: Path = Path("/sys/fs/cgroup"),
) -> int:
    """Bytes, cached files among them; 0 where that is not known.

    `inspected` is the Docker Engine API's description of a container. An engine elsewhere has other
    processes than this machine: only a control group with the container's id is believed.
    """
    try:
        text = (processes / str(inspected["State"]["Pid"]) / "cgroup").read_text()
        for line in text.splitlines():
            _, controllers, place = line.split(":", 2)
            file = groups / controllers / place.lstrip("/") / _FILES.get(controllers, "")
            if controllers in _FILES and inspected["Id"] in place and file.exists():
                return int(file.read_text())
    except (OSError, ValueError):
        return 0
    return 0
