"""fio on a mount, with the options of the published tests of sts-wire
(ffornari90/sts-wire-scale-tests): sequential, and random with three reads to one write."""

import io
import json
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.mounts import Mount
from benchmarks.storage_report import RANDOM_WRITE, Speed

MIB = 1 << 20


@dataclass(frozen=True)
class Fio:
    """One run of fio, its options those of the published tests; each client has its own file.

    `randrw` has three reads to one write, on files that were just written.
    """

    mode: str
    block: int
    clients: int
    size: int
    seconds: int

    @property
    def name(self) -> str:
        """Such as fio-randwrite-4k-16."""
        return f"{self.kind}-{'4k' if self.block == 4096 else '4m'}-{self.clients}"

    @property
    def kind(self) -> str:
        """The mode."""
        return f"fio-{self.mode}"

    @property
    def unit(self) -> str:
        """As people quote it."""
        return "IOPS" if self.block == 4096 else "MiB/s"

    @property
    def group(self) -> str:
        """Of the targets."""
        return RANDOM_WRITE if self.mode in ("randwrite", "randrw") else ""

    def prepare(self, s3: Any, bucket: str, directory: str) -> None:
        """The files of the rows that only read."""
        if "write" in self.mode or self.mode == "randrw":
            return
        for client in range(self.clients):
            body = io.BytesIO(_noise(self.size))
            s3.put_object(Bucket=bucket, Key=f"{directory}/{client}", Body=body)

    def measure(self, mount: Mount, directory: str) -> Speed:
        """Reads: fio's own figure. Others: until fio has closed its files, and until they are in
        the store; fio's figure would leave out the close, in which others upload."""
        if self.mode in ("read", "randread"):
            result = _Result.of(mount.run(directory, *self.command()))
            return Speed(self._amount(result) / result.seconds)
        mount.make(directory)
        if self.mode == "randrw":
            mount.run(directory, *self.command("--create_only=1"))
        begin = time.monotonic()
        result = _Result.of(mount.run(directory, *self.command()))
        ended = time.monotonic()
        closing = max(ended - begin - result.seconds - _start_of_fio(self.clients), 0)
        seconds = result.seconds + closing
        paths = [mount.path / directory / str(client) for client in range(self.clients)]
        mount.wait_in_store(directory, {path.name: path.stat().st_size for path in paths})
        later = time.monotonic() - ended
        amount = self._amount(result)
        return Speed(amount / seconds, amount / (seconds + later))

    def command(self, *more: str) -> list[str]:
        """fio with its arguments."""
        return [
            "fio",
            f"--name={self.mode}",
            f"--rw={self.mode}",
            *(["--rwmixread=75"] if self.mode == "randrw" else []),
            f"--bs={self.block}",
            f"--size={self.size}",
            f"--numjobs={self.clients}",
            "--filename_format=$jobnum",
            # Else fio makes the file first and opens it again, which INFN's mount cannot write.
            *(["--create_on_open=1"] if self.mode == "write" else []),
            "--direct=1",
            "--ioengine=libaio",
            "--iodepth=64",
            *([f"--runtime={self.seconds}"] if self.seconds else []),
            "--group_reporting",
            "--output-format=json",
            *more,
        ]

    def _amount(self, result: "_Result") -> float:
        return result.operations if self.block == 4096 else result.bytes / MIB


@dataclass(frozen=True)
class _Result:
    operations: int
    bytes: int
    seconds: float

    @classmethod
    def of(cls, output: str) -> "_Result":
        """From fio's JSON, reads and writes together."""
        job = json.loads(output[output.index("{") :])["jobs"][0]
        both = [job["read"], job["write"]]
        return cls(
            sum(each["total_ios"] for each in both),
            sum(each["io_bytes"] for each in both),
            max(each["runtime"] for each in both) / 1000,
        )


@cache
def _start_of_fio(clients: int) -> float:
    """Seconds that fio takes besides its work, measured on this machine's disk."""
    row = Fio("write", 4096, clients, 4096, 0)
    taken = []
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(5):
            begin = time.monotonic()
            ran = subprocess.run(
                row.command(), cwd=directory, capture_output=True, text=True, check=True
            )
            taken.append(time.monotonic() - begin - _Result.of(ran.stdout).seconds)
    return median(taken)


@cache
def _noise(size: int) -> bytes:
    """The same for all, and nothing that compresses."""
    return Path("/dev/urandom").open("rb").read(size)
