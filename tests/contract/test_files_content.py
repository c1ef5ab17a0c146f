"""What is in files, by the page of the object store: folders as zip files; who may change it."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import Any

import httpx
import pytest
from tornado import web

from quaderno.files import BASE, app, links, pages
from quaderno.quantities import say_amount
from tests.contract.files_fixtures import Visitor, World, anybody, running_world


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


def test_versions_are_kept_restored_and_brought_back(world: World) -> None:
    """From the switch to the undo; what was deleted before the switch is gone."""
    alice = world.alice
    put(world, **{"kept/a.txt": b"one"})
    asked = alice.submit("delete", area="home", key="kept/a.txt")
    assert "This cannot be undone." in asked.text
    page = alice.see("versions", key="kept/a.txt")
    assert "Versions are not kept." in page.text
    assert alice.submit("keep", key="kept/a.txt", keep="yes").status_code == 303
    try:
        put(world, **{"kept/a.txt": b"second", "kept/d/b.txt": b"b"})
        page = alice.see("versions", key="kept/a.txt")
        assert re.findall(r'f-size">(\d+) bytes', page.text) == ["6", "3"]
        old = re.search(r'name="version" value="([^"]+)"', page.text)
        assert old
        away = alice.see("download", key="kept/a.txt", version=unescape(old[1]))
        assert anybody("GET", away.headers["location"]).content == b"one"
        restored = alice.submit("restore", key="kept/a.txt", version=unescape(old[1]))
        assert restored.status_code == 303, restored.text
        assert world.s3.get_object(Bucket="alice", Key="kept/a.txt")["Body"].read() == b"one"

        keys = ["kept/a.txt", "kept/d/"]
        assert "bring it back" in alice.submit("delete", area="home", key=keys).text
        deleted = alice.submit("delete", area="home", key=keys, sure="yes")
        told = alice.get(deleted.headers["location"]).text
        assert world.s3.list_objects_v2(Bucket="alice", Prefix="kept/")["KeyCount"] == 0
        since, until = (re.search(f'name="{n}" value="(\\d+)"', told) for n in ("since", "until"))
        assert since
        assert until
        undone = alice.submit("undo", area="home", prefix="kept/", since=since[1], until=until[1])
        assert "Files brought back: 2" in alice.get(undone.headers["location"]).text
        assert world.s3.get_object(Bucket="alice", Key="kept/a.txt")["Body"].read() == b"one"
        assert world.s3.get_object(Bucket="alice", Key="kept/d/b.txt")["Body"].read() == b"b"
    finally:
        assert alice.submit("keep", key="kept/a.txt", keep="no").status_code == 303
    assert "Versions are not kept any more" in alice.see("versions", key="kept/a.txt").text


def test_versions_are_not_offered_where_they_are_not_hers_to_keep(world: World) -> None:
    alice = world.alice
    put(world, **{"mine.txt": b"x"})
    assert ">Versions</a>" in alice.see("item", key="mine.txt").text
    assert alice.submit("publish", key="mine.txt").status_code == 303
    assert ">Versions</a>" not in alice.see("item", area="scratch", key="alice/mine.txt").text
    assert alice.see("versions", area="scratch", key="alice/mine.txt").status_code == 404
    assert alice.submit("keep", area="scratch", key="alice/mine.txt", keep="yes").status_code == 403
    for since, until in (("x", "1"), ("1", str(2 * 10**9)), ("2", "1"), ("9" * 12, "9" * 12)):
        crafted = alice.submit("undo", area="home", prefix="", since=since, until=until)
        assert crafted.status_code == 400


def test_six_gigabytes_are_shown_downloaded_by_ranges(world: World) -> None:
    """Joined within the store: the same 64 MB again and again, which each take it no long time."""
    part, count, key = 64 << 20, 96, "large/six.bin"
    world.s3.put_object(Bucket="alice", Key="large/part", Body=bytes(part))
    whole = {"Bucket": "alice", "Key": key}
    whole["UploadId"] = world.s3.create_multipart_upload(**whole)["UploadId"]
    source = {"Bucket": "alice", "Key": "large/part"}
    parts = [
        {
            "PartNumber": number,
            "ETag": world.s3.upload_part_copy(**whole, PartNumber=number, CopySource=source)[
                "CopyPartResult"
            ]["ETag"],
        }
        for number in range(1, count + 1)
    ]
    world.s3.complete_multipart_upload(**whole, MultipartUpload={"Parts": parts})
    size = count * part
    for shown in (world.alice.see("", prefix="large/"), world.alice.see("item", key=key)):
        assert say_amount(size) in shown.text
    address = world.alice.see("download", key=key).headers["location"]
    end = anybody("GET", address, headers={"Range": f"bytes={size - 3}-"})
    assert (end.status_code, end.content) == (206, bytes(3))
    assert end.headers["content-range"] == f"bytes {size - 3}-{size - 1}/{size}"
    assert world.alice.submit("delete", key="large/", area="home", sure="yes").status_code == 303


def posts(world: World) -> list[str]:
    """The pages that take a POST, of all that the program has."""
    nobody: Any = None
    rules: Any = app.application(world.config, nobody).wildcard_router.rules
    return [
        rule.matcher.regex.pattern.removeprefix(BASE).rstrip("$")
        for rule in rules
        if any("post" in one.__dict__ for one in rule.target.__mro__[:-1] if one not in _TORNADO)
    ]


_TORNADO = web.RequestHandler.__mro__


def test_every_change_wants_the_token_of_its_own_login(world: World) -> None:
    """None, a guess, and that of somebody else are refused, in a form and from a script."""
    world.s3.put_object(Bucket="alice", Key="stays", Body=b"x")
    with Visitor(world.config) as bob:
        bob.log_in("bob")
        theirs = bob.xsrf()
    fields = {"area": "home", "key": "stays", "sure": "yes", "to": "", "name": "n", "how": "move"}
    found = posts(world)
    assert {"delete", "transfer", "share", "take-back", "new-bucket", "sign", "undo"} <= {*found}
    for page in found:
        for token in (None, "guess", theirs):
            form = fields if token is None else fields | {"_xsrf": token}
            script = {"Sec-Fetch-Mode": "cors", "Connection": "close"}
            script |= {"X-XSRFToken": token} if token else {}
            sent = world.alice.post(BASE + page, headers=script)
            assert sent.status_code == 403, f"{page} with {token}"
            if page != "relay":  # which no form is for, and which reads no body that it refuses
                sent = world.alice.post(BASE + page, data=form)
                assert sent.status_code == 403, f"{page} with {token}"
    assert world.s3.get_object(Bucket="alice", Key="stays")["Body"].read() == b"x"


def test_links_that_have_ended_hide_none_that_lives(world: World) -> None:
    old = json.dumps({"area": "home", "key": "old", "end": 1}).encode()
    with ThreadPoolExecutor(8) as threads:
        for number in range(links.MOST_SHOWN + 1):
            key = f"{links.FOLDER}---{number}"  # before those that are made
            threads.submit(world.s3.put_object, Bucket="alice", Key=key, Body=old)
    world.s3.put_object(Bucket="alice", Key="lives.txt", Body=b"x")
    assert world.alice.submit("share", key="lives.txt", seconds="600").status_code == 200
    assert "Take back the link to lives.txt" in world.alice.see("links").text
