"""Names of people's objects: what is shown, refused, and put into headers and addresses."""

from email.message import Message
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno.config import generate
from quaderno.files import pages, places

NAMES = st.text(min_size=1, max_size=300)


@pytest.fixture
def areas(tmp_path: Path) -> dict[str, places.Area]:
    return places.areas(generate(tmp_path), "ada")


def test_an_area_knows_its_names_elsewhere_and_what_is_writable(
    areas: dict[str, places.Area],
) -> None:
    home, scratch = areas["home"], areas["scratch"]
    assert home.s3_address("a/b") == "s3://ada/a/b"
    assert home.server_path("a/b") == "/workarea/cloud_storage/ada/a/b"
    assert scratch.server_path("bob/x") == "/workarea/cloud_storage/scratch/bob/x"
    assert home.writable("")
    assert [home.has_quota, scratch.has_quota] == [True, False]
    assert [scratch.writable(key) for key in ("ada/x", "ada/", "adam/x", "")] == [
        *(True, True),
        *(False, False),
    ]


def test_what_a_file_system_has_is_opened_in_jupyterlab(areas: dict[str, places.Area]) -> None:
    lab = "/hub/user-redirect/lab/tree/cloud_storage"
    assert areas["home"].lab_address("a b/#1?.ipynb") == f"{lab}/ada/a%20b/%231%3F.ipynb"
    assert areas["scratch"].lab_address("bob/d/") == f"{lab}/scratch/bob/d"
    assert areas["home"].lab_address("a//b") == areas["home"].lab_address("/a") == ""


def test_a_further_bucket_is_an_area_of_its_owner_alone(tmp_path: Path) -> None:
    config = generate(tmp_path)
    area = places.further(config, "ada", "ada--run-7")
    assert area is not None
    assert (area.title, area.s3_address("a/b")) == ("run-7", "s3://ada--run-7/a/b")
    assert area.writable("any")
    assert area.server_path("a") == area.lab_address("a") == "", "it is not in a server"
    for other in ("bob--run-7", "ada", "ada--", "ada--A", "scratch", "ada--../bob", "ada--x:read"):
        assert places.further(config, "ada", other) is None
    none = config.store.model_copy(update={"further_buckets": 0})
    assert places.further(config.model_copy(update={"store": none}), "ada", "ada--run-7") is None


def test_another_s_bucket_is_an_area_with_how_it_is_shared(tmp_path: Path) -> None:
    config = generate(tmp_path)
    reading, writing = (places.further(config, "ada", f"bob--x:{how}") for how in places.HOWS)
    assert reading is not None
    assert writing is not None
    assert (reading.title, reading.bucket, reading.guest) == ("x of bob", "bob--x", True)
    assert [area.writable("any") for area in (reading, writing)] == [False, True]
    assert places.further(config, "ada", "bob--x:all") is None
    outside = config.store.model_copy(update={"embedded": False, "endpoint": "https://s3.example"})
    elsewhere = config.model_copy(update={"store": outside})
    assert places.further(elsewhere, "ada", "bob--x:read") is None


def test_the_way_to_a_folder(areas: dict[str, places.Area]) -> None:
    way = places.crumbs(areas["home"], "a/b c//")
    assert [(crumb.title, crumb.prefix) for crumb in way] == [
        ("My files", ""),
        ("a", "a/"),
        ("b c", "a/b c/"),
        ("(no name)", "a/b c//"),
    ]


@pytest.mark.parametrize(
    ("key", "name", "folder"),
    [
        ("a", "a", ""),
        ("a/", "a", ""),
        ("a/b", "b", "a/"),
        ("a/b/", "b", "a/"),
        ("/x", "x", "/"),
        ("//", "(no name)", ""),
    ],
)
def test_name_and_folder(key: str, name: str, folder: str) -> None:
    assert (places.name_of(key), places.folder_of(key)) == (name, folder)


@pytest.mark.parametrize("key", ["a", "k" * 1024, "é" * 512, "a//b", "/a", " ", "...", ".a/..b/"])
def test_keys_that_can_be_looked_at(key: str) -> None:
    assert places.key_problem(key) is None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "this one has 0"),
        ("é" * 513, "1,026"),
        ("a/../b", "“..”"),
        ("./a", "“.”"),
        ("..", "“..”"),
        ("\ud800", "not valid text"),
        ("a\0b", "NUL"),
        ("/a", "begin with a slash"),
        ("a//b", "two in a row"),
        ("a\\b", "backslash"),
    ],
)
def test_keys_that_cannot_be_made(key: str, words: str) -> None:
    problem = places.new_key_problem(key)
    assert problem
    assert words in problem


def test_a_name_that_is_free() -> None:
    taken = {"d/a.tar.gz", "d/a.tar (2).gz", "d/f/", "x", ".rc"}
    assert places.free_name("d/a.tar.gz", taken.__contains__) == "d/a.tar (3).gz"
    assert places.free_name("d/f/", taken.__contains__) == "d/f (2)/"
    assert places.free_name("x", taken.__contains__) == "x (2)"
    assert places.free_name(".rc", taken.__contains__) == ".rc (2)"
    assert places.free_name("new", taken.__contains__) == "new"


@pytest.mark.parametrize(
    ("key", "kind"),
    [("a/", "folder"), ("A.PNG", "img"), ("x.csv", "tab"), ("nb.ipynb", "nb"), ("csv", "file"),
     ("strange.xyz", "file"), ("a.b/c", "file")],
)  # fmt: skip
def test_kinds(key: str, kind: str) -> None:
    assert places.kind(key) == kind


@given(NAMES.filter(lambda name: max(name) < "\ud800" or min(name) > "\udfff"))
def test_no_name_gets_out_of_its_header(name: str) -> None:
    key = f"folder/{name}"
    if places.key_problem(key):
        return
    header = places.disposition(key)
    assert header.isascii()
    assert header.isprintable()
    message = Message()
    message["Content-Disposition"] = header
    assert message.get_content_disposition() == "attachment"
    assert header.count('"') == 2
    assert ";" not in header.partition('"')[2].partition('"')[0]


def test_the_whole_name_is_in_the_header() -> None:
    header = places.disposition('d/naïve "x".txt')
    assert header == (
        "attachment; filename=\"na_ve _x_.txt\"; filename*=UTF-8''na%C3%AFve%20%22x%22.txt"
    )


@pytest.mark.parametrize("key", ["a b", "100%", "a&area=bob", "x#y", "a+b", "é", "../..", "?", "/"])
def test_a_key_is_one_parameter(key: str) -> None:
    address = urlsplit(pages.link("item", area="home", key=key))
    assert address.path == "/services/files/item"
    assert address.fragment == ""
    assert parse_qs(address.query) == {"area": ["home"], "key": [key]}
    assert "/" not in address.query


def test_the_policy_names_directories_of_ours_and_the_store(tmp_path: Path) -> None:
    """Not the whole origin: people's servers serve their own scripts from it."""
    config = generate(tmp_path)
    policy = dict(part.split(" ", 1) for part in pages.security_policy(config).split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"].split() == [
        "http://127.0.0.1:8000/services/files/static/",
        "http://127.0.0.1:8000/hub/static/",
        "http://127.0.0.1:8000/hub/quaderno/static/",
    ]
    assert policy["connect-src"] == "'self' http://127.0.0.1:8002"
    assert "unsafe" not in str(policy)
