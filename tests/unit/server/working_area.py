"""A working area on this machine, and what tests do with it."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

from quaderno_server import copies, saving
from quaderno_server.copies import Place

WITHIN = 60.0  # seconds


def working_area(directory: Path) -> Place:
    """One with storage, and nothing of people's own in it."""
    root = directory / "workarea"
    for name in ("cloud_storage/ada", "cloud_storage/scratch/ada", "local"):
        (root / name).mkdir(parents=True)
    return Place(root, "ada", directory / "home" / "saved.json", 0, frozenset())


def write(place: Place, path: str, content: str = "content", age: float = 0) -> Path:
    """A file below the root, last changed `age` seconds ago."""
    file = place.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    os.utime(file, (time.time() - age,) * 2)
    return file


def listed(place: Place) -> list[str]:
    return [file["path"] for file in copies.look(place, WITHIN)["files"]]


def save(place: Place, most: int | None = None) -> dict[str, Any]:
    return saving.save(place, most, WITHIN)


def left(report: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["reason"] for file in report["left"]["files"]}


def snapshot(directory: Path) -> dict[str, str]:
    return {
        path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }
