"""The program `quaderno-packages`: which packages somebody added, and a list of them to keep.

Exit status 0, or 1 and a sentence that says why not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from quaderno_server import additions, kept


class PackagesError(Exception):
    """The message is for whoever ran the program."""


def main() -> int:
    """The command line."""
    arguments = _parser().parse_args()
    try:
        environment = additions.directory()
        if arguments.command == "list":
            sys.stdout.write(added(environment))
        else:
            sys.stdout.write(export(environment, arguments.file or _file()))
    except PackagesError as error:
        sys.stderr.write(f"quaderno-packages: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quaderno-packages", description="Packages that you added to the image's with pip."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print them with their versions")
    command = commands.add_parser("export", help="write them to a requirements file")
    command.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="cloud_storage/<user>/requirements-<python>.txt if not given",
    )
    return parser


def _file() -> Path:
    """In the person's bucket; raises PackagesError while that is not there."""
    user = os.environ.get("JUPYTERHUB_USER", "")
    bucket = kept.WORKAREA / "cloud_storage" / user
    if not user or not bucket.is_mount():
        raise PackagesError("your cloud_storage is not there now; try again later, or name a file")
    return bucket / f"requirements-{additions.VERSION}.txt"


def added(environment: Path) -> str:
    """One line a package, as requirements files have it. Raises PackagesError."""
    if not environment.is_dir():
        return ""
    place = str(additions.packages(environment))
    command = [sys.executable, "-m", "pip", "freeze", "--path", place]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackagesError(f"pip cannot tell: {done.stderr.strip()}")
    return done.stdout


def export(environment: Path, file: Path) -> str:
    """Write them to `file`; what to do with it then. Raises PackagesError."""
    lines = added(environment)
    if not lines:
        raise PackagesError("you have added none: install some with pip")
    try:
        file.write_text(f"# Added to {additions.VERSION} of an image\n{lines}", encoding="utf-8")
    except OSError as error:
        raise PackagesError(f"{file} cannot be written: {error.strerror}") from error
    return f"Elsewhere, they come again with: pip install --requirement {file}\n"


if __name__ == "__main__":
    sys.exit(main())
