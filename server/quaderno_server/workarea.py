"""Finds what would be lost: files below `/workarea` that exist nowhere else.

A container's own files are those whose inode changed (ctime, which only the kernel sets) since the
container was made; the image's are older, and are in the image. What is reached through a mount
point stays, so mounts are never entered, and links never followed. Nothing here raises because of
what people put there.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path("/workarea")
KEPT = ("cloud_storage", "local")  # directories of the root that outlive the server
MOST_ENTRIES = 500_000  # looked at; beyond, a finding is not complete
# What programs make again by themselves: directories of these names, those with a tag in them
# (https://bford.info/cachedir/), and of an environment of venv or conda, which lies beside people's
# own files when they make one in the directory where they work, its own parts.
LEFT_OUT = frozenset({".cache", ".ipynb_checkpoints", "__pycache__", "node_modules"})
CACHE_TAG = "CACHEDIR.TAG"
ENVIRONMENT_MARKS = frozenset({"conda-meta", "pyvenv.cfg"})
ENVIRONMENT_PARTS = frozenset(
    {
        *("bin", "compiler_compat", "conda-meta", "etc", "include", "lib", "lib64", "libexec"),
        *("man", "sbin", "share", "shell", "ssl", "var", "x86_64-conda-linux-gnu"),
    }
)


@dataclass(frozen=True)
class File:
    """A regular file; `path` is relative to the root, sizes are bytes, times nanoseconds."""

    path: str
    size: int
    mtime: int
    ctime: int


@dataclass
class Finding:
    """`files` in no order; `left_out` are directories of caches and environments; `unseen` could
    not be read; `complete` unless there was too much to look at, or too little time."""

    files: list[File] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)
    complete: bool = True


def find(root: Path, since: int, mounts: frozenset[str], within: float) -> Finding:
    """The files below `root` that changed after `since` (nanoseconds), in `within` seconds at most.

    `mounts` are absolute paths that are not entered, as `mount_points` gives them.
    """
    finding = Finding()
    deadline = time.monotonic() + within
    waiting, seen = [""], 0
    while waiting:
        directory = waiting.pop()
        try:
            entries = _entries(root, directory)
        except OSError:
            finding.unseen.append(directory)
            continue
        if directory and any(entry.name == CACHE_TAG for entry in entries):
            finding.left_out.append(directory)
            continue
        seen += len(entries)
        if seen > MOST_ENTRIES or time.monotonic() > deadline:
            finding.complete = False
            break
        waiting += _sort(entries, directory, since, mounts, finding)
    return finding


def _entries(root: Path, directory: str) -> list[os.DirEntry[str]]:
    """At most so many as may be looked at, and one more. Raises OSError."""
    found = []
    with os.scandir(os.path.join(root, directory)) as entries:  # noqa: PTH118 - any name there is
        for entry in entries:
            found.append(entry)
            if len(found) > MOST_ENTRIES:
                break
    return found


def _sort(
    entries: list[os.DirEntry[str]],
    directory: str,
    since: int,
    mounts: frozenset[str],
    finding: Finding,
) -> Iterator[str]:
    """Puts what is found where it belongs; yields the directories to look into."""
    environment = any(entry.name in ENVIRONMENT_MARKS for entry in entries)
    left_out = LEFT_OUT | ENVIRONMENT_PARTS if environment else LEFT_OUT
    for entry in entries:
        path = f"{directory}/{entry.name}" if directory else entry.name
        if entry.path in mounts or (not directory and entry.name in KEPT):
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            finding.unseen.append(path)
            continue
        if stat.S_ISDIR(status.st_mode):
            if entry.name in left_out:
                finding.left_out.append(path)
            else:
                yield path
        elif entry.name in ENVIRONMENT_MARKS:
            continue
        elif stat.S_ISREG(status.st_mode) and status.st_ctime_ns >= since:
            finding.files.append(File(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns))


# --- what the container is


def mount_points(mountinfo: Path = Path("/proc/self/mountinfo")) -> frozenset[str]:
    """Where anything is mounted (proc(5), field 5); empty where the kernel does not say."""
    try:
        lines = mountinfo.read_bytes().splitlines()
    except OSError:
        return frozenset()
    return frozenset(os.fsdecode(_unescaped(line.split(b" ")[4])) for line in lines)


def _unescaped(path: bytes) -> bytes:
    """The kernel writes blanks and backslashes of a path as `\\040` and the like."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), path)


def container_made(hostname: Path = Path("/etc/hostname"), proc: Path = Path("/proc")) -> int:
    """When this container was made, in nanoseconds since the epoch; 0 when nothing tells.

    Two witnesses, of whom the earlier counts, lest a clock that is set makes people's files look
    older than the container: a file that the engine writes into each, and its first process.
    """
    witnesses = []
    try:
        witnesses.append(hostname.stat().st_ctime_ns)
        ticks = int((proc / "1/stat").read_text().rpartition(")")[2].split()[19])
        booted = re.search(r"^btime (\d+)$", (proc / "stat").read_text(), re.MULTILINE)
        seconds = int(booted[1]) if booted else 0
        witnesses.append((seconds * 10**9) + ticks * 10**9 // os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return 0
    return min(witnesses)


def printable(path: str) -> str:
    """`path` as it can be shown and written as JSON, whatever bytes are in it."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
