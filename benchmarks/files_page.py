"""The page of the object store: a file up and down, against `rclone copy`, and a large folder.

Each round sends one file by each of the two and fetches it again, in turn, to and from the same
store and disk. The page signs, and its client sends parts as browsers do.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import httpx

from tests.contract.files_fixtures import World, running_world
from tests.contract.storage_fixtures import Issuer

ROUNDS = 3
SIZE = 512 << 20  # bytes of the file
PART = 16 << 20  # as upload.js chooses for a file of this size
AT_ONCE = 4  # parts, by upload.js and by rclone's default
NAMES = 10_000
ENOUGH, SOON = 0.7, 0.3  # of rclone's throughput; seconds


def run() -> Iterator[str]:
    """The lines of the report."""
    with (
        tempfile.TemporaryDirectory(prefix="bench") as work,
        running_world(Path(work) / "world") as world,
    ):
        yield f"the page of the object store, {ROUNDS} rounds in alternation, medians in MB/s:"
        file = Path(work) / "file"
        subprocess.run(
            ["head", "-c", str(SIZE), "/dev/urandom"], check=True, stdout=file.open("wb")
        )
        page, peer = Page(world), Rclone(world)
        for name in ("upload", "download"):
            pairs = [
                (_speed(getattr(page, name), file), _speed(getattr(peer, name), file))
                for _ in range(ROUNDS)
            ]
            ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = ours / theirs
            told = "as wanted" if ratio >= ENOUGH else "SLOWER THAN WANTED"
            yield f"  {name} {ours:.0f}   rclone copy {theirs:.0f}   ratio {ratio:.2f}  {told}"
        seconds = statistics.median(page.first_page() for _ in range(ROUNDS + 1))
        told = "as wanted" if seconds < SOON else "SLOWER THAN WANTED"
        yield f"  first page of {NAMES:,} names: {1000 * seconds:.0f} ms  {told}"


def _speed(work: Callable[[Path], None], file: Path) -> float:
    """Megabytes in a second."""
    begin = time.monotonic()
    work(file)
    return SIZE / 1e6 / (time.monotonic() - begin)


class Page:
    """A browser's requests."""

    def __init__(self, world: World) -> None:
        self._world, self._alice = world, world.alice
        self._xsrf = world.alice.xsrf()
        self._filled = False

    def upload(self, file: Path) -> None:
        """In parts, several at once, to addresses that the page signs one by one."""
        started = httpx.post(self._sign("POST")).raise_for_status()
        found = re.search("<UploadId>(.*?)</UploadId>", started.text)
        assert found
        with ThreadPoolExecutor(AT_ONCE) as pool, httpx.Client(timeout=60) as client:
            send = partial(self._part, client, file, found[1])
            tags = list(pool.map(send, range(1, SIZE // PART + 1)))
        parts = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>"
            for n, tag in enumerate(tags, 1)
        )
        done = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        url = self._sign("POST", uploadId=found[1])
        httpx.post(url, content=done, timeout=60).raise_for_status()

    def download(self, file: Path) -> None:
        """By the link in the folder."""
        away = self._alice.see("download", key="page")
        fetched = file.with_name("page")
        with httpx.stream("GET", away.headers["location"]) as answer, fetched.open("wb") as out:
            for piece in answer.iter_raw():
                out.write(piece)
        assert fetched.stat().st_size == SIZE

    def first_page(self) -> float:
        """Seconds."""
        if not self._filled:
            put = partial(self._world.s3.put_object, Bucket="alice", Body=b"x")
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda n: put(Key=f"many/{n:05}"), range(NAMES)))
            self._filled = True
        begin = time.monotonic()
        assert "00199" in self._alice.see("", prefix="many/").text
        return time.monotonic() - begin

    def _part(self, client: httpx.Client, file: Path, upload: str, number: int) -> str:
        with file.open("rb") as opened:
            opened.seek((number - 1) * PART)
            content = opened.read(PART)
        url = self._sign("PUT", uploadId=upload, partNumber=number)
        return client.put(url, content=content).raise_for_status().headers["etag"]

    def _sign(self, method: str, **more: object) -> str:
        question = {"area": "home", "key": "page", "method": method, **more}
        headers = {"X-XSRFToken": self._xsrf, "Sec-Fetch-Mode": "cors"}
        answer = self._alice.post("/services/files/sign", json=question, headers=headers)
        return str(answer.raise_for_status().json()["url"])


class Rclone:
    """`rclone copy` of the same file, with Alice's keys."""

    def __init__(self, world: World) -> None:
        keys = Issuer(world.config).keys("alice")
        self._environment = {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_S3_PROVIDER": "Other",
            "RCLONE_S3_ENDPOINT": world.config.store_endpoint,
            "RCLONE_S3_ACCESS_KEY_ID": keys.access_key_id,
            "RCLONE_S3_SECRET_ACCESS_KEY": keys.secret_access_key,
            "RCLONE_S3_SESSION_TOKEN": keys.session_token,
            "RCLONE_S3_NO_CHECK_BUCKET": "true",
        }

    def upload(self, file: Path) -> None:
        self._copy(str(file), ":s3:alice/rclone")

    def download(self, file: Path) -> None:
        self._copy(f":s3:alice/rclone/{file.name}", str(file.parent / "fetched"))

    def _copy(self, source: str, to: str) -> None:
        rclone = Path(sys.prefix) / "bin" / "rclone"
        command = [str(rclone), "copy", "--ignore-times", source, to]
        subprocess.run(command, check=True, env=self._environment)
