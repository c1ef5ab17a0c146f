"""The page of the object store against the real store: whatever a name holds, whoever asks."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import psutil
import pytest

from quaderno.files import BASE, links, pages, places
from tests.contract.files_fixtures import Visitor, World, anybody, running_world
from tests.contract.storage_fixtures import eventually
from tests.secret_settings import secret_values

ODD_NAMES = [
    "with space.txt",
    "100% #1?+&=;.txt",
    "\"double\" 'single' `back`.txt",
    "<script>alert(1)",
    "caf\u00e9-nfc.txt",
    "cafe\u0301-nfd.txt",
    ".hidden",
    "line\r\nSet-Cookie: x=1.txt",
    "日本語.csv",
    "a+b%2Fc&area=scratch.txt",
    "x.txt; filename=evil.exe",
    "k" * 250 + "/" + "k" * 250 + "/" + "k" * 250 + "/" + "k" * 250,
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("files")) as world:
        yield world


def names_on(page: httpx.Response) -> list[str]:
    """What the listing shows, as a browser would."""
    assert page.status_code == 200, page.text
    cells = re.findall(r'class="f-name">.*?<a href="[^"]*">(.*?)</a>', page.text, re.DOTALL)
    return [unescape(cell) for cell in cells]


def sentence(page: httpx.Response) -> str:
    """What an error page says."""
    found = re.search(r'role="alert">(.*?)</p>', page.text)
    assert found, page.text
    return unescape(found[1])


def test_whoever_is_not_logged_in_is_sent_to_the_hub(world: World) -> None:
    with Visitor(world.config) as nobody:
        answer = nobody.see("item", key="a b")
        assert answer.status_code == 302
        assert answer.headers["location"].startswith("/hub/api/oauth2/authorize?")
        assert nobody.post(f"{BASE}delete", data={"key": "x"}).status_code == 403
        assert nobody.get(f"{BASE}oauth_callback?code=alice&state=forged").status_code == 403
        assert nobody.get(f"{BASE}download?key=x").status_code == 302


def test_pages_are_closed_to_scripts_frames_and_other_sites(world: World) -> None:
    answer = world.alice.see("")
    policy = answer.headers["content-security-policy"]
    assert policy == pages.security_policy(world.config)
    assert answer.headers["cache-control"] == "no-store"
    forged = world.alice.post(f"{BASE}delete", data={"key": "x", "_xsrf": "guess"})
    assert forged.status_code == 403
    assert "<script>" not in answer.text


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_odd_names_survive(world: World, name: str) -> None:
    """Listed, shown, downloaded, copied and deleted under exactly this name."""
    alice, key = world.alice, f"odd/{name}"
    world.s3.put_object(Bucket="alice", Key=key, Body=name.encode())
    folder = key.rpartition("/")[0] + "/"
    assert names_on(alice.see("", prefix=folder)) == [key.rpartition("/")[2]]
    shown = alice.see("item", key=key)
    assert f"s3://alice/{key}" in unescape(shown.text)
    away = alice.see("download", key=key)
    assert away.status_code == 302
    assert "x" not in away.cookies
    found = anybody("GET", away.headers["location"], headers={"Range": "bytes=0-"})
    assert found.content == name.encode()
    assert found.headers["content-disposition"].startswith('attachment; filename="')
    done = alice.submit("transfer", key=key, to="copies", name="copy", how="copy")
    assert done.status_code == 303, sentence(done)
    assert world.s3.get_object(Bucket="alice", Key="copies/copy")["Body"].read() == name.encode()
    for gone in (key, "copies/copy"):
        assert alice.submit("delete", area="home", key=gone, sure="yes").status_code == 303
    assert names_on(alice.see("", prefix=folder)) == []


def test_a_folder_of_many_objects_comes_in_pages(world: World) -> None:
    names = [f"{number:04}" for number in range(450)]
    with ThreadPoolExecutor(8) as pool:
        put = partial(world.s3.put_object, Bucket="alice", Body=b"x")
        list(pool.map(lambda name: put(Key=f"many/{name}"), names))
    seen, page = [], world.alice.see("", prefix="many/")
    while True:
        seen += names_on(page)
        more = re.search(r'rel="next" href="([^"]+)"', page.text)
        if not more:
            break
        page = world.alice.get(unescape(more[1]))
    assert seen == names
    assert world.alice.submit("delete", area="home", key="many/", sure="yes").status_code == 303
    assert names_on(world.alice.see("", prefix="many/")) == []


def test_a_key_that_is_an_object_and_a_folder_is_both(world: World) -> None:
    for key in ("both", "both/inside", "both/", "both/empty/"):
        world.s3.put_object(Bucket="alice", Key=key.replace("both", "twins", 1), Body=b"")
    assert names_on(world.alice.see("", prefix="twins/")) == ["empty/", "inside"]
    assert world.alice.submit("delete", area="home", key="twins/", sure="yes").status_code == 303


def test_what_is_forbidden_gone_or_nonsense_is_told_in_a_sentence(world: World) -> None:
    alice = world.alice
    theirs = alice.submit("new-folder", area="scratch", prefix="bob/", name="mine")
    assert theirs.status_code == 403
    assert sentence(theirs).startswith("The store does not let you make the folder “mine”.")
    gone = alice.see("item", key="never/was")
    assert (gone.status_code, sentence(gone)) == (
        404,
        "The store cannot show “was”: it is not there, or was deleted meanwhile.",
    )
    for page, fields, status, words in [
        ("item", {"key": "../bob/x"}, 400, "No part of a name can be"),
        ("item", {"key": "x" * 1025}, 400, "has 1 to 1,024 bytes; this one has 1,025"),
        ("item", {"key": ""}, 400, "this one has 0"),
        ("", {"area": "bob"}, 404, "There is no such area."),
        ("", {"prefix": "a"}, 400, "ends in a slash"),
        ("nothing", {}, 404, "There is no such page."),
    ]:
        answer = alice.see(page, **fields)
        assert answer.status_code == status
        assert words in sentence(answer)
    assert alice.get(f"{BASE}item?key=%FF").status_code == 400
    assert "Traceback" not in world.log.read_text()


def test_changes_by_forms(world: World) -> None:
    alice, bucket = world.alice, "alice"
    made = alice.submit("new-folder", area="home", prefix="", name="été <1>")
    assert made.headers["location"] == pages.link("", area="home", prefix="été <1>/")
    world.s3.put_object(Bucket=bucket, Key="été <1>/a.txt", Body=b"a")
    asked = alice.submit("delete", area="home", key=["été <1>/", "x"])
    assert "cannot be undone" in asked.text
    assert world.s3.head_object(Bucket=bucket, Key="été <1>/a.txt")

    moved = alice.submit("transfer", key="été <1>/", to="", name="summer", how="move")
    assert moved.status_code == 303
    assert names_on(alice.see("", prefix="summer/")) == ["a.txt"]
    assert names_on(alice.see("", prefix="été <1>/")) == []
    taken = alice.submit("transfer", key="summer/a.txt", to="summer/", name="a.txt", how="move")
    assert taken.status_code == 409
    assert "already: choose another name" in sentence(taken)
    assert alice.submit("transfer", key="summer/", to="summer", name="x").status_code == 400

    for name in ("a.txt", "a (2).txt"):
        assert alice.submit("publish", key="summer/a.txt").status_code == 303
        assert name in names_on(alice.see("", area="scratch", prefix="alice/"))
    with Visitor(world.config) as bob:
        bob.log_in("bob")
        assert bob.see("download", area="scratch", key="alice/a.txt").status_code == 302


def test_the_quota_is_the_hub_s_word(world: World) -> None:
    headers = {"X-XSRFToken": world.alice.xsrf(), "Sec-Fetch-Mode": "cors"}
    told = world.alice.get(f"{BASE}usage", headers=headers).json()
    assert told["quota"] == {"used": 7, "limit": 8, "text": "7 bytes of 8 bytes used"}


def test_a_folder_under_a_key_of_1024_bytes(world: World) -> None:
    """The longest that there are: listed, downloaded, renamed."""
    alice, folder = world.alice, ("k" * 250 + "/") * 4
    key, other = folder + "x" * 20, folder + "y" * 20
    assert len(key) == places.MOST_BYTES
    world.s3.put_object(Bucket="alice", Key=key, Body=b"far down")
    assert names_on(alice.see("", prefix=folder)) == ["x" * 20]
    found = anybody("GET", alice.see("download", key=key).headers["location"])
    assert found.content == b"far down"
    long = alice.submit("transfer", key=key, to=folder, name="y" * 21, how="move")
    assert "1 to 1,024 bytes; this one has 1,025" in sentence(long)
    assert alice.submit("transfer", key=key, to=folder, name="y" * 20, how="move").is_redirect
    assert names_on(alice.see("", prefix=folder)) == ["y" * 20]
    assert world.s3.get_object(Bucket="alice", Key=other)["Body"].read() == b"far down"
    assert alice.submit("delete", area="home", key="k" * 250 + "/", sure="yes").is_redirect


def test_a_link_lives_as_long_as_it_says(world: World) -> None:
    alice, key = world.alice, "shared.txt"
    world.s3.put_object(Bucket="alice", Key=key, Body=b"for all")
    page = alice.submit("share", key=key, seconds="3")
    found = re.search(r'id="link"[^>]* value="([^"]+)"', page.text)
    assert found, page.text
    assert "for 3 seconds" in page.text
    address = unescape(found[1])
    eventually(lambda: anybody("GET", address).status_code == 410, 60, "the link ends")
    offered = re.findall(r'<option value="(.*?)">(.*?)</option>', page.text)
    assert offered[-1] == ("longest", "59 minutes (longest)")
    longest = alice.submit("share", key=key, seconds="longest").text
    assert "for 59 minutes from now" in longest
    for name in re.findall(r'name="name" value="([^"]+)"', alice.see("links").text):
        alice.submit("take-back", name=name)
    refused = alice.submit("share", key=key, seconds="43200")
    assert refused.status_code == 400
    most = re.search(r"live for (\d+) seconds at most", sentence(refused))
    assert most
    assert 3000 < int(most[1]) <= 3600
    assert alice.submit("share", key=key, seconds="0").status_code == 400


def test_a_link_is_listed_and_taken_back(world: World) -> None:
    alice, key = world.alice, 'with "quotes" <b>.bin'
    world.s3.put_object(Bucket="alice", Key=key, Body=b"0123456789")
    assert "No link that you have made lives now." in alice.see("links").text
    addresses = []
    for _ in range(2):
        page = alice.submit("share", key=key, seconds="600")
        found = re.search(r'id="link"[^>]* value="([^"]+)"', page.text)
        assert found, page.text
        addresses.append(unescape(found[1]))
    assert "Amz" not in addresses[0]
    part = anybody("GET", addresses[0], headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-type"] == "application/octet-stream"
    assert part.headers["content-disposition"] == places.disposition(key)
    listed = re.findall(r'name="name" value="([^"]+)"', alice.see("links").text)
    assert len(listed) == 2
    assert alice.submit("take-back", name=listed[0]).status_code == 303
    answers = [anybody("GET", address) for address in addresses]
    assert sorted(answer.status_code for answer in answers) == [200, 410]
    (gone,) = [answer for answer in answers if answer.status_code == 410]
    assert sentence(gone).startswith("This link has ended, was taken back, or its file is gone.")
    assert re.findall(r'name="name" value="([^"]+)"', alice.see("links").text) == listed[1:]
    assert anybody("GET", addresses[0][:-3]).status_code == 404
    # The note is the maker's to change: nothing of it is read here, however long it is.
    (program,) = (
        one for one in psutil.process_iter() if is_listening(one, world.config.ports.files)
    )
    before = peak(program)
    long = b"x" * (200 << 20)
    world.s3.put_object(Bucket="alice", Key=links.FOLDER + listed[1], Body=long)
    (living,) = [a for a, answer in zip(addresses, answers, strict=True) if answer.is_success]
    assert anybody("GET", living).content == b"0123456789"
    assert peak(program) - before < len(long) / 2
    alice.submit("take-back", name=listed[1])


def is_listening(process: psutil.Process, port: int) -> bool:
    try:
        found = process.net_connections("tcp")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in found)


def peak(process: psutil.Process) -> int:
    """Bytes of memory that it has had at the most."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_a_broken_link_needs_no_hub(world: World) -> None:
    with Visitor(world.config) as carol:
        carol.log_in("carol")
        world.hub.silent = True
        try:
            broken = carol.get(pages.link("shared", link="x"))
        finally:
            world.hub.silent = False
    assert (broken.status_code, sentence(broken)) == (
        404,
        "This link is not whole: ask for it again.",
    )


def test_a_link_whose_keys_the_store_takes_no_more_has_ended(world: World) -> None:
    """Amazon's store says so with 400 (S3 API, ExpiredToken), SeaweedFS with 403."""
    world.s3.put_object(Bucket="alice", Key="old.txt", Body=b"old")
    found = re.search(
        r"link=([^\"]+)", world.alice.submit("share", key="old.txt", seconds="60").text
    )
    assert found
    sealer = links.Sealer(world.config.files.client_secret.get_secret_value())
    link = sealer.open(unquote(found[1]))
    assert link
    assert world.alice.see("shared", link=sealer.seal(link)).content == b"old"
    refused = link.object.partition("?")[0] + "?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=x"
    assert anybody("GET", refused).status_code == 400
    for ended in (replace(link, note=refused), replace(link, object=refused)):
        assert world.alice.see("shared", link=sealer.seal(ended)).status_code == 410


def test_the_uploader_s_requests_go_to_the_store(world: World) -> None:
    alice, key, origin = world.alice, "up/größe #1.bin", world.config.public_url

    def sign(method: str, **more: Any) -> str:
        answer = alice.script("sign", area="home", key=key, method=method, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["url"])

    allowed = anybody(
        "OPTIONS", sign("PUT"), headers={"Origin": origin, "Access-Control-Request-Method": "PUT"}
    )
    assert allowed.headers["access-control-allow-origin"] == origin
    sent = anybody("PUT", sign("PUT"), content=b"small", headers={"Origin": origin})
    assert sent.is_success, sent.text
    assert "ETag" in sent.headers["access-control-expose-headers"]
    taken = alice.script("taken", area="home", keys=[key, "up/new"]).json()["taken"]
    assert taken == {key: "up/größe #1 (2).bin"}

    started = anybody("POST", sign("POST"))
    upload = re.search("<UploadId>(.*?)</UploadId>", started.text)
    assert upload, started.text
    parts = [b"a" * (5 << 20), b"b"]
    tags = [
        anybody("PUT", sign("PUT", uploadId=upload[1], partNumber=n), content=part).headers["etag"]
        for n, part in enumerate(parts, 1)
    ]
    assert "<PartNumber>2</PartNumber>" in anybody("GET", sign("GET", uploadId=upload[1])).text
    listed = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{tag}</ETag></Part>"
        for n, tag in enumerate(tags, 1)
    )
    done = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>"
    assert anybody("POST", sign("POST", uploadId=upload[1]), content=done).is_success
    assert world.s3.get_object(Bucket="alice", Key=key)["Body"].read() == b"".join(parts)


@pytest.mark.parametrize(
    "question",
    [
        {"method": "DELETE"},
        {"method": "GET"},
        {"method": "PUT", "uploadId": "x", "partNumber": 0},
        {"method": "PUT", "uploadId": ["x"], "partNumber": 1},
        {"method": "PUT", "key": "a/../../bob/x"},
        {"method": "PUT", "key": "folder/"},
        {"method": "PUT", "area": "bob"},
    ],
    ids=str,
)
def test_nothing_else_is_signed(world: World, question: dict[str, Any]) -> None:
    answer = world.alice.script("sign", **{"area": "home", "key": "x", **question})
    assert answer.status_code in (400, 404)
    assert answer.json()["message"].endswith(".")


def test_the_hub_s_and_the_store_s_absence_and_the_end_of_a_login(world: World) -> None:
    """Keys that are there serve on while the hub is away; without, a sentence says so.

    Who they are the page knows for a minute: of people who come here first, from this login on.
    """
    with Visitor(world.config) as dora, Visitor(world.config) as emil:
        for visitor, name in ((dora, "dora"), (emil, "emil")):
            visitor.log_in(name)
        assert dora.see("").status_code == 200
        world.hub.silent = True
        try:
            assert dora.see("").status_code == 200
            away = emil.see("")
            assert away.status_code == 503
            assert "cannot get your keys now" in sentence(away)
        finally:
            world.hub.silent = False
        world.hub.ended = True
        try:
            ended = emil.see("")
            assert ended.status_code == 401
            assert sentence(ended) == "Your login has ended: log in again."
        finally:
            world.hub.ended = False
        assert names_on(emil.see("")) == [], "a bucket of his own, which he had not"
    world.store.stop()
    try:
        gone = world.alice.see("")
        assert gone.status_code == 503
        assert sentence(gone).startswith("The object store does not answer now")
    finally:
        world.store.start()


def test_no_secret_and_no_name_of_a_file_is_logged(world: World) -> None:
    world.alice.see("item", key="a-name-that-nobody-else-has")
    log = world.log.read_text()
    assert "a-name-that-nobody-else-has" not in log
    assert "X-Amz-Signature" not in log
    assert "code=" not in log
    assert not [secret for secret in secret_values(world.config) if secret in log]
