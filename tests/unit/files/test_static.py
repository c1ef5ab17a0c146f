"""What is served with the pages."""

import hashlib
import re
from pathlib import Path

import pytest

from quaderno.files import STATIC

VENDORED = [STATIC / "uppy", STATIC / "hyparquet"]


@pytest.mark.parametrize("directory", VENDORED, ids=lambda path: path.name)
def test_what_others_made_is_what_is_written_down(directory: Path) -> None:
    told = dict(
        re.findall(r"\| `(.+?)` \| `([0-9a-f]{64})` \|", (directory / "README.md").read_text())
    )
    kept = {path.name for path in directory.iterdir()} - {"README.md", "LICENSE"}
    assert kept == set(told)
    for name, digest in told.items():
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == digest


def test_nothing_is_fetched_from_elsewhere() -> None:
    ours = [path for path in STATIC.iterdir() if path.suffix in (".js", ".css")]
    assert len(ours) > 3
    for path in ours:
        assert "://" not in path.read_text()
