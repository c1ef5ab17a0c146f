"""What is in files, by the page of the object store: folders as zip files."""

import io
import re
import zipfile
from collections.abc import Iterator
from html import unescape

import httpx
import pytest

from quaderno.files import pages
from tests.contract.files_fixtures import World, running_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("files-content")) as world:
        yield world


def put(world: World, **content: bytes) -> None:
    for key, found in content.items():
        world.s3.put_object(Bucket="alice", Key=key, Body=found)


def test_a_folder_comes_as_a_zip_file(world: World) -> None:
    content = {"zip/a b.txt": b"a", "zip/é/\\x": b"b", "zip/big": bytes(5 << 20), "zip/none": b""}
    put(world, **content)
    page = world.alice.see("", prefix="zip/")
    link = re.search(r'href="([^"]+)">Download as zip', page.text)
    assert link
    answer = world.alice.get(unescape(link[1]))
    assert answer.headers["content-disposition"].startswith('attachment; filename="zip.zip"')
    with zipfile.ZipFile(io.BytesIO(answer.content)) as unpacked:
        assert unpacked.testzip() is None
        names = {info.filename: info.file_size for info in unpacked.infolist()}
    # SeaweedFS takes a backslash for a slash.
    assert names == {"a b.txt": 1, "é/x": 1, "big": 5 << 20, "none": 0}
    empty = world.alice.see("zip", prefix="nowhere/")
    assert empty.status_code == 404
    assert "Nothing is in this folder any more." in empty.text


def test_a_zip_file_that_cannot_be_finished_ends_visibly(world: World) -> None:
    put(world, **{"cut/a": bytes(64 << 20), "cut/b": b"is deleted meanwhile"})
    with world.alice.stream("GET", pages.link("zip", prefix="cut/")) as answer:
        assert answer.status_code == 200
        pieces = answer.iter_raw()
        received = len(next(pieces))
        world.s3.delete_object(Bucket="alice", Key="cut/b")
        with pytest.raises(httpx.RemoteProtocolError):
            received += sum(len(piece) for piece in pieces)
    assert received < int(answer.headers["content-length"])
    assert "Traceback" not in world.log.read_text()
