"""`make bench`: run every benchmark, or those that are named, and print their reports.

    python -m benchmarks [NAME | storage.ROW]...

    NAME: server_start, image_start, lab_drawn, many_starts, files_page, hub_restart, site_lost,
          sites_speed or storage

A row is named by the beginning of its name: `storage.fio-randrw`, say. With `QUADERNO_BENCH=full`
in the environment, files are as large and as many as in published tests, and what concerns sites
takes longer.
"""

import sys
from collections.abc import Iterable

from benchmarks import (
    files_page,
    hub_restart,
    image_start,
    lab_drawn,
    many_starts,
    server_start,
    site_lost,
    sites_speed,
    storage,
)

WHOLE = {
    "server_start": server_start.run,
    "image_start": image_start.run,
    "lab_drawn": lab_drawn.run,
    "many_starts": many_starts.run,
    "files_page": files_page.run,
    "hub_restart": hub_restart.run,
    "site_lost": site_lost.run,
    "sites_speed": sites_speed.run,
}


def main(wanted: list[str]) -> None:
    known = [*WHOLE, "storage"]
    unknown = [name for name in wanted if name.split(".")[0] not in known]
    if unknown:
        sys.exit(f"No benchmark is named {unknown[0]}: {', '.join(known)}, storage.ROW")
    for name, run in WHOLE.items():
        if not wanted or name in wanted:
            report(run())
    rows = [name.removeprefix("storage.") for name in wanted if name.startswith("storage.")]
    if not wanted or "storage" in wanted or rows:
        report(storage.run([] if "storage" in wanted else rows))


def report(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
