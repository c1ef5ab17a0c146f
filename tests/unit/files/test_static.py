"""What is served with the pages."""

import hashlib
import re

from quaderno.files import STATIC

UPPY = STATIC / "uppy"


def test_the_uploader_is_the_one_that_is_written_down() -> None:
    told = dict(re.findall(r"\| `(.+?)` \| `([0-9a-f]{64})` \|", (UPPY / "README.md").read_text()))
    kept = {path.name for path in UPPY.iterdir()} - {"README.md", "LICENSE"}
    assert kept == set(told)
    for name, digest in told.items():
        assert hashlib.sha256((UPPY / name).read_bytes()).hexdigest() == digest


def test_nothing_is_fetched_from_elsewhere() -> None:
    for path in (STATIC / "files.js", STATIC / "upload.js", STATIC / "files.css"):
        assert "://" not in path.read_text()
