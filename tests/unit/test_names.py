"""One table of usernames; whatever is valid is valid for S3, POSIX and DNS alike."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quaderno import names


@pytest.mark.parametrize("name", ["ada", "ada-lovelace", "a1b", "x" * 40, "bob2"])
def test_valid_usernames(name: str) -> None:
    assert names.username_problem(name) is None
    assert names.bucket(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "ab", "x" * 41, "Ada", "ada_l", "1ada", "-ada", "ada-", "ada--l", "ada.l", "adä",
     "ada\n", "a/b", "..", "ada lovelace", "xn--ada", "sthree-ada", "ada-s3alias", "\uff41da"],
)  # fmt: skip
def test_invalid_usernames_say_the_rule(name: str) -> None:
    assert names.USERNAME_RULE in (names.username_problem(name) or "")


@pytest.mark.parametrize("name", sorted(names.RESERVED))
def test_reserved_usernames(name: str) -> None:
    assert names.username_problem(name) == "this name is reserved"


def test_an_instance_reserves_names_of_its_own() -> None:
    assert names.username_problem("commons") is None
    assert names.username_problem("commons", {"commons"}) == "this name is reserved"
    assert names.username_problem("com", {"commons"}) is None


@given(st.text(alphabet="abc019-_.A/", max_size=45))
def test_what_is_valid_is_a_bucket_and_a_dns_label(name: str) -> None:
    if names.username_problem(name) is None:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]", name)


@pytest.mark.parametrize("name", ["a", "big", "gpu-2", "x" * 30])
def test_valid_names_of_servers(name: str) -> None:
    assert names.server_problem(name) is None


@pytest.mark.parametrize(
    "name",
    ["", "x" * 31, "Big", "2nd", "-a", "a-", "a--b", "a.b", "a/b", "../a", "%2e%2e", "a b", "a\n",
     "\uff41", "big_one", "<b>"],
)  # fmt: skip
def test_invalid_names_of_servers_say_the_rule(name: str) -> None:
    assert names.SERVER_RULE in (names.server_problem(name) or "")


@pytest.mark.parametrize("name", ["lab", "api", "static", "terminals"])
def test_no_server_takes_the_place_of_a_page_of_the_first_one(name: str) -> None:
    """/user/ada/lab is JupyterLab of the first server."""
    assert names.server_problem(name) == "it is a page of your first server"


@given(st.text(min_size=1, max_size=30), st.text(min_size=1, max_size=30))
def test_servers_have_objects_of_their_own(one: str, other: str) -> None:
    first, second = (names.server_object("q1234", "ada", name) for name in (one, other))
    assert (first == second) == (one == other)
    assert first != names.server_object("q1234", "ada")
    assert re.fullmatch(r"[a-z0-9-]{1,63}", first)


def test_no_user_can_name_another_ones_server() -> None:
    """A double hyphen is in no username, so it separates."""
    name = names.server_object("q1234", "ada", "x").removeprefix("q1234-")
    assert names.username_problem(name)
