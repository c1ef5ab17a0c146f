"""The three mounts that are compared, on one store, each on a bucket of its own person.

- ours: as people get it, made by the agent; whoever uses it is the person of a server.
- `rclone mount` as INFN's NaaS image runs it (infn-datacloud/jupyter-docker-images in 2026, in
  docker/naas/jlab `rclone-cmd.sh` and `rclone.config`): with no flag at all, so without a cache.
  The rclone is ours; theirs is their distribution's, which is older.
- s3fs, Debian's, with its defaults.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.storage_report import INFN, OURS, S3FS
from quaderno import names
from quaderno.storage import buckets, mount_table, mounts
from tests.contract.node_fixtures import Node
from tests.contract.storage_fixtures import eventually

PEOPLE = {OURS: "ada", INFN: "bob", S3FS: "eve"}
MOUNTED_WITHIN = 20  # seconds
_ENDED_WITHIN = 60  # seconds, after an unmount
_IN_STORE_WITHIN = 600  # seconds
_DELETED_AT_ONCE = 1000  # keys, S3's limit
_TAIL = 160  # characters of a program's complaint


class CannotError(Exception):
    """The mount does not let the program do that; its last words."""


@dataclass
class Mount:
    """One mounted bucket, the process that serves it, and whether root uses it or the person of a
    server."""

    name: str
    node: Node
    path: Path
    pid: int
    by_person: bool = False

    @property
    def user(self) -> str:
        """Whose bucket it is."""
        return PEOPLE[self.name]

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return names.bucket(self.user)

    def run(self, directory: str, *command: str) -> str:
        """What `command` prints, in a directory of the mount. Raises CannotError."""
        result = subprocess.run(
            command,
            cwd=self.path / directory,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
            user=mounts.UID if self.by_person else None,
            group=mounts.GID if self.by_person else None,
            extra_groups=[] if self.by_person else None,
        )
        if result.returncode:
            raise CannotError(" ".join((result.stderr or result.stdout).split())[-_TAIL:])
        return result.stdout

    def make(self, directory: str) -> None:
        """A new directory, made through the mount."""
        self.run("", "mkdir", directory)

    def s3(self) -> Any:
        """The bucket from the other side."""
        return self.node.s3(self.user)

    def _uploads(self) -> int:
        """Files that are closed and not uploaded; the others upload in close(2)."""
        if self.name != OURS:
            return 0
        plan = mounts.plan(self.node.config, self.user)
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(plan.socket))) as client:
            answer = client.post("http://rclone/vfs/stats", json={"fs": plan.areas[0].remote})
        cached = answer.raise_for_status().json()["diskCache"]
        return int(cached["uploadsInProgress"] + cached["uploadsQueued"])

    def wait_in_store(self, directory: str, expected: Mapping[str, int | None]) -> None:
        """Until files of these names and sizes (None: any) are objects, and no upload is left."""
        s3, deadline = self.s3(), time.monotonic() + _IN_STORE_WITHIN
        while True:
            looked = time.monotonic()
            if self._uploads() == 0 and _are_there(s3, self.bucket, directory, expected):
                return
            now = time.monotonic()
            assert now < deadline, f"{self.name}: {directory} is not in the store"
            time.sleep(max(0.02, 4 * (now - looked)))  # to look costs what uploads need

    def share(self) -> int:
        """The process's proportional set size, bytes."""
        return int(psutil.Process(self.pid).memory_full_info().pss)

    def peak(self) -> int:
        """Its largest resident set so far, bytes."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(
            int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM")
        )


@contextmanager
def ours(node: Node, directory: Path) -> Iterator[Mount]:
    """Through the agent, bound to where the person may go, as a container does it.

    The mount stays from run to run; what it knew of the store's directories is forgotten.
    """
    user, place = PEOPLE[OURS], directory / OURS
    root = node.ready(user)
    node.refresh(user)
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "--rbind", "--make-rslave", str(root), str(place)], check=True)
    try:
        yield Mount(OURS, node, place / user, node.rclone(user), by_person=True)
    finally:
        mount_table.unmount_all(place)
        mount_table.unmount(place, lazy=True)


@contextmanager
def infn(node: Node, directory: Path) -> Iterator[Mount]:
    """`rclone mount` with INFN's flags; its keys come from a program that it asks."""
    user, config = PEOPLE[INFN], node.config
    keys = _keys(node, user)
    answer = {"Version": 1, "SessionToken": keys["Token"]} | keys
    _write(directory / "keys.json", json.dumps(answer))
    asked = f"[default]\ncredential_process = cat {directory / 'keys.json'}\n"
    _write(directory / "aws.config", asked)
    settings = {"type": "s3", "provider": "Ceph", "env_auth": "true"}
    settings |= {"endpoint": config.store_endpoint, "region": config.store.region}
    lines = [f"{key} = {value}" for key, value in settings.items()]
    _write(directory / "rclone.config", "\n".join(["[rgw]", *lines, ""]))
    rclone = str(Path(sys.prefix) / "bin" / "rclone")
    command = [rclone, "--config", str(directory / "rclone.config"), "mount"]
    with _served(
        [*command, f"rgw:/{names.bucket(user)}", str(directory / "infn")],
        {"AWS_CONFIG_FILE": str(directory / "aws.config")},
        directory / "infn",
    ) as process:
        yield Mount(INFN, node, directory / "infn", process.pid)


@contextmanager
def s3fs(node: Node, directory: Path) -> Iterator[Mount]:
    """s3fs with its defaults, and what it needs for this store and for temporary keys."""
    user, store = PEOPLE[S3FS], node.config.store
    keys = _keys(node, user)
    options = f"url={node.config.store_endpoint},endpoint={store.region}"
    options += ",use_path_request_style,use_session_token"
    environment = {
        "AWSACCESSKEYID": keys["AccessKeyId"],
        "AWSSECRETACCESSKEY": keys["SecretAccessKey"],
        "AWSSESSIONTOKEN": keys["Token"],
    }
    command = ["s3fs", "-f", names.bucket(user), str(directory / S3FS), "-o", options]
    with _served(command, environment, directory / S3FS) as process:
        yield Mount(S3FS, node, directory / S3FS, process.pid)


def _keys(node: Node, user: str) -> dict[str, str]:
    """Of a person whose bucket is there."""
    keys = node.issuer.keys(user)
    buckets.ensure_personal_bucket(node.config, user, keys)
    return keys.container_credentials()


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


@contextmanager
def _served(
    command: list[str], environment: dict[str, str], path: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that serves a mount at `path` until the end of the block."""
    path.mkdir(exist_ok=True)
    with (path.parent / f"{path.name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "HOME": str(path.parent), **environment},
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: _is_served(process, path), MOUNTED_WITHIN, f"{path} is mounted")
        yield process
    finally:
        mount_table.unmount(path, lazy=True)
        try:
            process.wait(_ENDED_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_served(process: subprocess.Popen[bytes], path: Path) -> bool:
    assert process.poll() is None, f"{process.args!r} ended; see {path}.log"
    return bool(mount_table.below(path))


def _are_there(s3: Any, bucket: str, directory: str, expected: Mapping[str, int | None]) -> bool:
    sizes = {
        key.removeprefix(f"{directory}/"): size for key, size in objects(s3, bucket, directory)
    }
    return all(
        name in sizes and (size is None or size == sizes[name]) for name, size in expected.items()
    )


def delete(s3: Any, bucket: str, directory: str) -> None:
    """Everything below a directory, past the mounts."""
    keys = [{"Key": key} for key, _ in objects(s3, bucket, directory)]
    for start in range(0, len(keys), _DELETED_AT_ONCE):
        some = keys[start : start + _DELETED_AT_ONCE]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})


def objects(s3: Any, bucket: str, directory: str) -> Iterator[tuple[str, int]]:
    """Keys and sizes below a directory."""
    lists = s3.get_paginator("list_objects_v2")
    for page in lists.paginate(Bucket=bucket, Prefix=f"{directory}/"):
        for found in page.get("Contents", []):
            yield found["Key"], found["Size"]
