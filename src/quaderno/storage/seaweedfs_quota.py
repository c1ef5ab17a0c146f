"""The embedded store's quotas: setting them, having them take effect, and what buckets hold.

A quota is a field of the bucket's entry in the filer. Once a minute SeaweedFS compares it with the
bucket's volumes and closes the bucket to writing (`readOnly` in its `filer.conf`) or opens it
again; `s3.bucket.quota.enforce` does the same at once. Uploads into a closed bucket are answered
with InternalError, deletions are done. Only `weed shell` changes quotas, over gRPC; the rest is
asked by HTTP. Master and filer know no authentication: root and system users alone reach them.
"""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import seaweedfs_shell

PATIENCE = 20.0  # seconds
_SHARE = 0.1  # of the time may go into asking the master, for all people of a node together
_AGAIN_WITHIN = 30.0  # seconds, however long the master took to fail
_LAG = 8.0  # seconds until the master knows what was written to a volume
_PAGE = 1000  # buckets
_UNIT = 2**20  # quotas are in MiB


@dataclass(frozen=True)
class Bucket:
    """As the filer knows it: `made` is a time that sorts, `quota` in bytes (0: none)."""

    name: str
    made: str
    quota: int


def buckets(config: Config) -> list[Bucket]:
    """All there are. Blocking. Raises StorageError."""
    filer, found, last = f"http://127.0.0.1:{config.ports.store_filer}", list[Bucket](), ""
    while True:
        page = _get(f"{filer}/buckets/?limit={_PAGE}&lastFileName={quote(last)}", or_none=True)
        entries = page.get("Entries") or ()
        for entry in entries:
            last = str(entry["FullPath"]).rpartition("/")[2]
            found.append(Bucket(last, str(entry["Crtime"]), max(int(entry["Quota"] or 0), 0)))
        if len(entries) < _PAGE:
            return found


def ensure_quota(config: Config, bucket: str, limit: int) -> None:
    """Have `bucket` hold `limit` bytes at most, rounded up to MiB; 0: no limit. Idempotent.

    Blocking. Raises StorageError.
    """
    wanted = -(-limit // _UNIT)
    if _quota(config, bucket) == wanted * _UNIT:
        return
    operation = f"-op=set -sizeMB={wanted}" if wanted else "-op=remove"
    said = seaweedfs_shell.run(config, f"s3.bucket.quota -name={bucket} {operation}")
    if _quota(config, bucket) != wanted * _UNIT:
        raise StorageError(f"The store did not set the quota of {bucket}: {said}")


def enforce(config: Config) -> None:
    """Close the buckets that are over their quota to writing, and open the others, now rather
    than within a minute. Blocking. Raises StorageError."""
    seaweedfs_shell.run(config, "s3.bucket.quota.enforce -apply")


@cache
def volumes(url: str) -> "Volumes":
    """The one of this process for a master."""
    return Volumes(url)


class Volumes:
    """What every bucket holds, by its volumes: one answer of the master serves everybody, and so
    does one failure: a master that hangs is not asked by each person in turn.

    Data count as they are stored, compressed; what was deleted counts no more.
    """

    def __init__(self, url: str) -> None:
        self._url, self._lock = url, threading.Lock()
        self._used: Counter[str] = Counter()
        self._since = self._ask_at = 0.0
        self._failure: StorageError | None = None

    def used(self, bucket: str) -> tuple[int, float]:
        """Bytes in `bucket`, and since when (monotonic seconds) they may not be all. Blocking.

        Raises StorageError.
        """
        with self._lock:
            if time.monotonic() >= self._ask_at:
                self._ask()
            if self._failure is not None:
                raise StorageError(self._failure.message, self._failure.hint)
            return self._used[bucket], self._since

    def _ask(self) -> None:
        began = time.monotonic()
        try:
            self._used, self._since = by_bucket(_get(self._url)), began - _LAG
            self._failure = None
        except StorageError as error:
            self._failure = error
        now = time.monotonic()
        pause = (now - began) / _SHARE
        self._ask_at = now + (min(pause, _AGAIN_WITHIN) if self._failure else pause)


def by_bucket(answer: dict[str, Any]) -> Counter[str]:
    """The master's `/vol/status` summed up; each volume once, however many copies it has.

    Raises StorageError when it knows of no volume server, as just after its start.
    """
    centers = (answer.get("Volumes") or {}).get("DataCenters") or {}
    nodes = [node for racks in centers.values() for rack in racks.values() for node in rack.items()]
    if not nodes:
        raise StorageError("The store's master knows of no volumes yet", "It is tried again")
    largest: dict[tuple[str, int], int] = {}
    for _, held in nodes:
        for volume in held or ():
            name = volume["Collection"], volume["Id"]
            live = max(volume["Size"] - volume["DeletedByteCount"], 0)
            largest[name] = max(largest.get(name, 0), live)
    used: Counter[str] = Counter()
    for (bucket, _), size in largest.items():
        used[bucket] += size
    return used


def master_url(config: Config) -> str:
    """Where `Volumes` asks."""
    return f"http://127.0.0.1:{config.ports.store_master}/vol/status"


def _quota(config: Config, bucket: str) -> int:
    """Bytes; 0 when there is none."""
    filer = f"http://127.0.0.1:{config.ports.store_filer}"
    return max(int(_get(f"{filer}/buckets/{quote(bucket)}?metadata=true").get("Quota") or 0), 0)


def _get(url: str, *, or_none: bool = False) -> dict[str, Any]:
    """`or_none`: nothing where there is no such thing, as the buckets of a store that is new."""
    try:
        with httpx.Client(timeout=PATIENCE, trust_env=False) as client:
            answer = client.get(url, headers={"Accept": "application/json"})
            if or_none and answer.status_code == httpx.codes.NOT_FOUND:
                return {}
            answer.raise_for_status()
            return dict(answer.json())
    except (httpx.HTTPError, ValueError) as error:
        raise StorageError(f"The store does not answer {url}: {error!r}") from error
