"""Whether the machine was started anew since a person's cache was last in use.

The end of a process takes nothing from a file, the end of the machine may: what was written in its
last half minute is in the file or is not, and a name may be there without the content. So after
another boot, more is looked at before the cache is used than after a crash of rclone.
"""

from pathlib import Path

from quaderno.storage import durable
from quaderno.storage.mounts import MountPlan

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # random(4)


def has_rebooted(plan: MountPlan) -> bool:
    """Of a cache that was never in use here, nothing was lost here. Raises OSError."""
    try:
        return plan.boot.read_bytes().strip() != _current().encode()
    except FileNotFoundError:
        return False


def remember(plan: MountPlan) -> None:
    """The cache is in order and about to be used. Raises OSError."""
    durable.replace(plan.boot, _current())


def _current() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()
