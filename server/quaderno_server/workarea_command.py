"""The program `quaderno-workarea`: what the hub runs in a server before it stops, and people may.

Exit status 0 with a report, as one line of JSON or in words; 1 and a sentence when there is none.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from quaderno_server import copies, saving
from quaderno_server.copies import Json, Place

WITHIN = 60.0  # seconds


def main() -> int:
    """The command line."""
    arguments = _parser().parse_args()
    try:
        place = Place.here(os.environ)
    except KeyError as error:
        sys.stderr.write(f"quaderno-workarea: {error.args[0]} is not set; run this in a server\n")
        return 1
    if arguments.command == "list":
        report = copies.look(place, arguments.within)
        words = _looked(report)
    else:
        report = saving.save(place, arguments.most, arguments.within)
        words = _saved(report)
    sys.stdout.write((json.dumps(report) if arguments.json else words) + "\n")
    sys.stdout.flush()
    # A thread that hangs in the storage must not keep the program from its end.
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quaderno-workarea", description="Files of this server that exist nowhere else."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, explained in {
        "list": "say which there are",
        "save": "copy them to cloud_storage/<user>/saved/<time>/",
    }.items():
        command = commands.add_parser(name, help=explained, description=explained)
        command.add_argument("--json", action="store_true", help="as one line of JSON")
        command.add_argument(
            "--within", type=float, default=WITHIN, help="seconds it may take (%(default)g)"
        )
        if name == "save":
            command.add_argument("--most", type=int, help="bytes to copy at most; all if not given")
    return parser


def _looked(report: Json) -> str:
    lines = [f"{file['bytes']:>15}  {file['path']}" for file in report["files"]]
    return "\n".join([*lines, f"{_files(report)} exist only in this server"])


def _saved(report: Json) -> str:
    lines = [f"left ({file['reason']}): {file['path']}" for file in report["left"]["files"]]
    where = f" to {report['directory']}/" if report["directory"] else ""
    lines.append(f"{_files(report['copied'])} copied{where}, {_files(report['left'])} left")
    return "\n".join(lines)


def _files(sums: Json) -> str:
    return f"{sums['count']} file{'' if sums['count'] == 1 else 's'} ({sums['bytes']} bytes)"


if __name__ == "__main__":
    sys.exit(main())
