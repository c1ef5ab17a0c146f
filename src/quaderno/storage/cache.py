"""rclone's disk cache as it lies on the disk: what is not uploaded yet, and what rclone would lose.

For each cached file there are its data, below `vfs`, and a description of the same name, below
`vfsMeta`. rclone writes descriptions in place, so a crash can leave one that is cut off; at its
next start it deletes the data of every file whose description it cannot read.
"""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from quaderno.storage.mounts import MountPlan

_DATA, _DESCRIPTIONS = "vfs", "vfsMeta"


def unsent(plan: MountPlan) -> int:
    """How many files in the cache are changed and not in the object store yet.

    A description that cannot be read counts: it may be of such a file.
    """
    metas = plan.cache / _DESCRIPTIONS
    return sum(_dirty(metas / name) is not False for name in _files(metas))


def set_aside(plan: MountPlan) -> list[Path]:
    """Move files that rclone would delete at its start to `plan.set_aside`, with what describes
    them; returns their new paths. No rclone may use the cache. Raises OSError.
    """
    data = plan.cache / _DATA
    moved, target = [], plan.set_aside / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    for name in sorted(_files(data)):
        if _is_in_danger(data / name, plan.cache / _DESCRIPTIONS / name):
            _move(data / name, target / _DATA / name)
            _move(plan.cache / _DESCRIPTIONS / name, target / _DESCRIPTIONS / name)
            moved.append(target / _DATA / name)
    return moved


def count_set_aside(plan: MountPlan) -> int:
    """How many files `set_aside` ever moved and nobody took away since."""
    return sum(1 for batch in plan.set_aside.glob(f"*/{_DATA}") for _ in _files(batch))


def _is_in_danger(data: Path, meta: Path) -> bool:
    if meta.exists():
        return _dirty(meta) is None
    # rclone describes a file before anything is written to it: an empty one holds nobody's work.
    return data.stat().st_blocks > 0


def _dirty(meta: Path) -> bool | None:
    """What the description says; None when it cannot be read."""
    try:
        dirty = json.loads(meta.read_bytes())["Dirty"]
    except FileNotFoundError:  # uploaded and forgotten since the directory was listed
        return False
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dirty if isinstance(dirty, bool) else None


def _files(directory: Path) -> Iterator[Path]:
    """Paths of the files below `directory`, relative to it; what vanishes meanwhile is left out."""
    for parent, _, names in os.walk(directory):
        for name in names:
            yield Path(parent, name).relative_to(directory)


def _move(source: Path, target: Path) -> None:
    if source.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        source.rename(target)
