"""Files that pass through the page, where browsers do not reach the store, and its memory."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from quaderno.config import Config
from quaderno.files import links, pages
from tests.contract.files_fixtures import Visitor, World, running_page, running_world
from tests.contract.storage_fixtures import eventually, new_config

# Bytes of the large file; 2 GB with the soak tests.
SIZE = 2_000_000_000 if os.environ.get("QUADERNO_SOAK") else 256 << 20
PART = 64 << 20
MOST_MEMORY = 150_000_000


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("files-through")) as world:
        yield world


@pytest.fixture(scope="module")
def elsewhere(world: World) -> Iterator[Config]:
    """Of another page, which browsers reach only."""
    site = world.config.files.model_copy(update={"direct": False})
    free = new_config(world.config.dir / "elsewhere").ports.files
    ports = world.config.ports.model_copy(update={"files": free})
    config = world.config.model_copy(update={"files": site, "ports": ports})
    with running_page(config):
        yield config


@pytest.fixture(scope="module")
def alice(elsewhere: Config) -> Iterator[Visitor]:
    with Visitor(elsewhere) as alice:
        alice.log_in("alice")
        yield alice


def most_memory(config: Config) -> int:
    """Bytes that the page's process ever had in memory."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            environment = (status.parent / "environ").read_bytes()
            wanted = f"QUADERNO_CONFIG={config.dir}/files-{config.ports.files}.yaml\0"
            if wanted.encode() in environment:
                peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
                assert peak
                return int(peak[1]) * 1024
        except OSError:  # ended meanwhile, or not ours to read
            continue
    raise AssertionError("the page does not run")


def signed(alice: Visitor, key: str, method: str, **more: object) -> str:
    answer = alice.script("sign", area="home", key=key, method=method, **more)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


def zeros(size: int) -> Iterator[bytes]:
    piece = bytes(1 << 20)
    for start in range(0, size, len(piece)):
        yield piece[: size - start]


def upload(alice: Visitor, key: str, size: int) -> None:
    """As the browser does it: in parts, to signed addresses."""
    sent = {"Sec-Fetch-Mode": "cors"}
    started = alice.post(signed(alice, key, "POST"), headers=sent)
    upload = re.search("<UploadId>(.*?)</UploadId>", started.text)
    assert upload, started.text
    tags = []
    for number, start in enumerate(range(0, size, PART), 1):
        length = min(PART, size - start)
        url = signed(alice, key, "PUT", uploadId=upload[1], partNumber=number)
        headers = {**sent, "Content-Length": str(length)}
        answer = alice.put(url, content=zeros(length), headers=headers)
        assert answer.is_success, answer.text
        tags.append(answer.headers["etag"])
    parts = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>"
        for n, tag in enumerate(tags, 1)
    )
    done = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
    url = signed(alice, key, "POST", uploadId=upload[1])
    assert alice.post(url, content=done, headers=sent).is_success


def test_a_download_passes_through(world: World, alice: Visitor) -> None:
    content = bytes(range(256)) * 4096
    world.s3.put_object(Bucket="alice", Key='passed "on".bin', Body=content)
    whole = alice.see("download", key='passed "on".bin')
    assert whole.content == content
    assert whole.headers["content-disposition"].startswith('attachment; filename="passed _on_')
    address = pages.link("download", key='passed "on".bin')
    part = alice.get(address, headers={"Range": "bytes=256-511"})
    assert (part.status_code, part.content) == (206, bytes(range(256)))
    assert part.headers["content-range"] == f"bytes 256-511/{len(content)}"


def test_an_upload_passes_through(world: World, alice: Visitor) -> None:
    sent = {"Sec-Fetch-Mode": "cors"}
    url = signed(alice, "größe #1", "PUT")
    assert url.startswith("/services/files/relay?")
    assert alice.put(url, content=b"small", headers=sent).is_success
    assert world.s3.get_object(Bucket="alice", Key="größe #1")["Body"].read() == b"small"
    empty = alice.put(signed(alice, "empty", "PUT"), content=b"", headers=sent)
    assert empty.is_success
    assert world.s3.head_object(Bucket="alice", Key="empty")["ContentLength"] == 0
    sent["Connection"] = "close"  # what is refused is not read to its end
    forged = alice.put(re.sub("_xsrf=[^&]+", "_xsrf=guess", url), content=b"x", headers=sent)
    assert forged.status_code == 403
    theirs = pages.link("relay", area="scratch", key="bob/x", _xsrf=alice.xsrf())
    assert alice.put(theirs, content=b"x" * 5_000_000, headers=sent).status_code == 403
    for bad in ({"area": "bob", "key": "x"}, {"area": "home", "key": "a/../x"}):
        address = pages.link("relay", _xsrf=alice.xsrf(), **bad)
        assert alice.put(address, content=b"x", headers=sent).status_code in (400, 404)


def test_large_files_leave_no_trace_in_memory(
    world: World, elsewhere: Config, alice: Visitor
) -> None:
    """Up through the page, straight to the store, and back in a zip file."""
    upload(alice, "large/through", SIZE)
    upload(world.alice, "large/straight", SIZE)
    with alice.stream("GET", pages.link("zip", prefix="large/")) as answer:
        received = sum(len(piece) for piece in answer.iter_raw())
    assert received == int(answer.headers["content-length"]) > 2 * SIZE
    for key in ("through", "straight"):
        found = world.s3.head_object(Bucket="alice", Key=f"large/{key}")
        assert found["ContentLength"] == SIZE
    peaks = [most_memory(config) for config in (elsewhere, world.config)]
    assert max(peaks) < MOST_MEMORY, peaks
    world.s3.delete_objects(
        Bucket="alice",
        Delete={"Objects": [{"Key": "large/through"}, {"Key": "large/straight"}]},
    )


def test_whoever_goes_away_leaves_no_half_file(world: World, alice: Visitor) -> None:
    def broken() -> Iterator[bytes]:
        yield bytes(1 << 20)
        raise OSError

    headers = {"Sec-Fetch-Mode": "cors", "Content-Length": str(4 << 20)}
    url = signed(alice, "half", "PUT")
    with pytest.raises(OSError):
        alice.put(url, content=broken(), headers=headers)
    assert alice.see("").status_code == 200
    with pytest.raises(world.s3.exceptions.ClientError):
        world.s3.head_object(Bucket="alice", Key="half")


def test_a_store_that_is_away_is_told(world: World, alice: Visitor) -> None:
    url = signed(alice, "away", "PUT")
    world.store.stop()
    try:
        answer = alice.put(url, content=b"x" * 1000, headers={"Sec-Fetch-Mode": "cors"})
        assert answer.status_code == 503
        assert answer.json()["message"].startswith("The object store does not answer now")
    finally:
        world.store.start()


def test_downloads_by_links_hold_up_nobody_who_is_logged_in(
    world: World, elsewhere: Config, alice: Visitor
) -> None:
    """Whoever has a link may begin many, and read none of them."""
    world.s3.put_object(Bucket="alice", Key="shared.bin", Body=bytes(8 << 20))
    page = alice.submit("share", key="shared.bin", seconds="600")
    found = re.search(r'id="link"[^>]* value="([^"]+)"', page.text)
    assert found, page.text
    link = urlsplit(unescape(found[1]))
    request = f"GET {link.path}?{link.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(links.AT_ONCE):
            slow = stack.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.settimeout(60)
            slow.connect(("127.0.0.1", elsewhere.ports.files))
            slow.sendall(request)
            assert slow.recv(12) == b"HTTP/1.1 200"
        refused = alice.get(f"{link.path}?{link.query}")
        assert refused.status_code == 503
        assert "Many people download by links now" in refused.text
        mine = alice.see("download", area="home", key="shared.bin")
        assert (mine.status_code, len(mine.content)) == (200, 8 << 20)
    eventually(
        lambda: alice.get(f"{link.path}?{link.query}").status_code == 200, 60, "there is room again"
    )
