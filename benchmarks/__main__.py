"""`make bench`: run every benchmark, or those that are named, and print their reports.

    python -m benchmarks [server_start] [image_start] [storage] [storage.ROW]...

A row is named by the beginning of its name: `storage.fio-randrw`, say. With `QUADERNO_BENCH=full`
in the environment, files are as large and as many as in published tests.
"""

import sys
from collections.abc import Iterable

from benchmarks import image_start, server_start, storage

_NAMES = ("server_start", "image_start", "storage")


def main(wanted: list[str]) -> None:
    unknown = [name for name in wanted if name.split(".")[0] not in _NAMES]
    if unknown:
        sys.exit(f"No benchmark is named {unknown[0]}: {', '.join(_NAMES)}, storage.ROW")
    if not wanted or "server_start" in wanted:
        report(server_start.run())
    if not wanted or "image_start" in wanted:
        report(image_start.run())
    rows = [name.removeprefix("storage.") for name in wanted if name.startswith("storage.")]
    if not wanted or "storage" in wanted or rows:
        report(storage.run([] if "storage" in wanted else rows))


def report(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
