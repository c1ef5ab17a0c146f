"""What is done on each mount, and how fast it was: the rows of the storage benchmark.

A speed is an amount in one second. Where something is written there are two: until the program has
ended, so everything it wrote is acknowledged (close(2) included), and until it is in the store.
"""

import io
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from benchmarks.fio import MIB, Fio
from benchmarks.mounts import Mount
from benchmarks.storage_report import SMALL_FILES, Speed

_FILE = bytes(range(256)) * 16  # 4 kB


@dataclass(frozen=True)
class Sizes:
    """How much is done: bytes of each client's file, seconds after which fio stops, files."""

    rounds: int
    clients: tuple[int, ...]
    small_blocks: Callable[[int], int]
    large_blocks: Callable[[int], int]
    seconds: int
    unpacked: int
    listed: int
    cloned: int = 500


QUICK = Sizes(
    rounds=3,
    clients=(1, 4, 16),
    small_blocks=lambda clients: 16 * MIB // clients,
    large_blocks=lambda clients: 64 * MIB // clients,
    seconds=2,
    unpacked=1000,
    listed=2000,
)
# The published tests of sts-wire (ffornari90/sts-wire-scale-tests).
FULL = Sizes(
    rounds=3,
    clients=(1, 4, 16),
    small_blocks=lambda _: 10 * 10**6,
    large_blocks=lambda _: 10**9,
    seconds=0,
    unpacked=2000,
    listed=10_000,
)


class Row(Protocol):
    """One thing that is done.

    `group` is the target that it counts for, besides the first. Who cannot do a row cannot do
    another one of its `kind`.
    """

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def unit(self) -> str: ...

    @property
    def group(self) -> str: ...

    def prepare(self, s3: Any, bucket: str, directory: str) -> None:
        """Put what is read into the store, where no mount has seen it."""

    def measure(self, mount: Mount, directory: str) -> Speed:
        """Do it once, in a directory of its own. Raises CannotError."""


@dataclass(frozen=True)
class _SmallFiles:
    """Many small files from the local disk; nothing is read from the store."""

    files: int
    source: Path
    kind: str = ""
    unit: str = "files/s"
    group: str = SMALL_FILES

    @property
    def name(self) -> str:
        """With the number of files."""
        return f"{self.kind}-{self.files}"

    def prepare(self, s3: Any, bucket: str, directory: str) -> None:
        """Nothing to put into the store."""


@dataclass(frozen=True)
class Clone(_SmallFiles):
    """`git clone` of a bundle."""

    kind: str = "git-clone"

    def measure(self, mount: Mount, directory: str) -> Speed:
        """Until git has ended, and until the checked out files and the index are in the store."""
        mount.make(directory)
        bundle = _bundle(self.source, self.files)
        expected = dict.fromkeys([*_names(self.files), ".git/index", ".git/HEAD"])
        run = ["git", "clone", "--quiet", str(bundle), "."]
        return _timed(mount, directory, run, self.files, expected)


@dataclass(frozen=True)
class Unpack(_SmallFiles):
    """`tar x`."""

    kind: str = "untar"

    def measure(self, mount: Mount, directory: str) -> Speed:
        """Until tar has ended, and until all files are in the store."""
        mount.make(directory)
        expected = dict.fromkeys(_names(self.files), len(_FILE))
        archive = str(_archive(self.source, self.files))
        run = ["tar", "--no-same-owner", "--no-same-permissions", "-xf", archive]
        return _timed(mount, directory, run, self.files, expected)


@dataclass(frozen=True)
class List:
    """`ls -l` of a directory that the mount has not seen."""

    files: int
    kind: str = "ls"
    unit: str = "files/s"
    group: str = ""

    @property
    def name(self) -> str:
        """With the number of files."""
        return f"{self.kind}-{self.files}"

    def prepare(self, s3: Any, bucket: str, directory: str) -> None:
        """The objects, as a mount would have written them: with their time as metadata."""
        metadata = {"mtime": "1600000000.123456789"}

        def put(name: str) -> None:
            s3.put_object(Bucket=bucket, Key=f"{directory}/{name}", Body=b"1", Metadata=metadata)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, (f"{number}.txt" for number in range(self.files))))

    def measure(self, mount: Mount, directory: str) -> Speed:
        """Until it has printed all."""
        begin = time.monotonic()
        lines = mount.run(directory, "ls", "-l").splitlines()
        seconds = time.monotonic() - begin
        assert len(lines) == self.files + 1, f"{mount.name} lists {len(lines) - 1} files"
        return Speed(self.files / seconds)


def rows(sizes: Sizes, source: Path) -> Iterator[Row]:
    """All of them; `source` is a directory for what is unpacked, which anybody can read."""
    for mode in ("write", "read", "randrw", "randread", "randwrite"):
        for clients in sizes.clients:
            yield Fio(mode, 4096, clients, sizes.small_blocks(clients), sizes.seconds)
    for mode in ("write", "read", "randrw"):
        for clients in sizes.clients:
            yield Fio(mode, 4 * MIB, clients, sizes.large_blocks(clients), sizes.seconds)
    yield Clone(sizes.cloned, source)
    yield Unpack(sizes.unpacked, source)
    yield List(sizes.listed)


def _timed(
    mount: Mount, directory: str, command: list[str], files: int, expected: Mapping[str, int | None]
) -> Speed:
    begin = time.monotonic()
    mount.run(directory, *command)
    ended = time.monotonic()
    mount.wait_in_store(directory, expected)
    return Speed(files / (ended - begin), files / (time.monotonic() - begin))


def _names(files: int) -> list[str]:
    return [f"{number // 100}/{number}.py" for number in range(files)]


@cache
def _archive(source: Path, files: int) -> Path:
    path = source / f"{files}.tar"
    with tarfile.open(path, "w") as archive:
        for name in _names(files):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(_FILE), 1_600_000_000
            archive.addfile(member, io.BytesIO(_FILE))
    path.chmod(0o644)
    return path


@cache
def _bundle(source: Path, files: int) -> Path:
    path, tree = source / f"{files}.bundle", source / f"{files}"
    tree.mkdir()
    for number, name in enumerate(_names(files)):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_bytes(number.to_bytes(4) + _FILE)
    author = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    for command in (
        ["init", "--quiet"],
        ["add", "."],
        [*author, "commit", "--quiet", "--message", "files"],
        ["bundle", "create", "--quiet", str(path), "HEAD"],
    ):
        subprocess.run(["git", *command], cwd=tree, check=True)
    path.chmod(0o644)
    return path
