"""One table of usernames; whatever is valid is valid for S3, POSIX and DNS alike."""

import re
from urllib.parse import unquote_to_bytes

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


# --- names of other identity providers

# Buckets are named like this: a change of any line takes somebody's files away.
MAPPED = {
    "ada": "ada",
    "Ada": "u---41da",
    "ada.lovelace": "u--ada-2elovelace",
    "ada@example.org": "u--ada-40example-2eorg",
    "\u0430da": "u---d0-b0da",
    "scratch": "u--scratch",
    "7": "u--7",
    "u--ada": "u--u-2d-2dada",
    "": "h--4oymiquy7qobjgx36tejs35z",
    "x" * 64: "h--xxxxxxxxxxxx-ptqqbfy7mttqahup4wsrs47m",
    "Ada.Lovelace-Byron@notebooks.example.org": "h--adalovelaceb-kuny5i2q7fauus4a33qgf6d3",
}


@pytest.mark.parametrize(("claim", "username"), MAPPED.items())
def test_what_is_mapped_stays_so(claim: str, username: str) -> None:
    assert names.from_claim(claim) == username


# Whatever a provider may call somebody: plain names, and those that are nearly so, too.
CLAIMS = st.one_of(
    st.text(st.characters(), max_size=70),
    st.text(alphabet="abAB019-._@/u\u212a\u0130\u017f", max_size=45),
    st.from_regex(r"(u|h)--[a-z0-9-]{1,40}", fullmatch=True),
)


@given(CLAIMS)
def test_whoever_comes_has_a_name_for_bucket_directory_and_container(claim: str) -> None:
    username = names.from_claim(claim)
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,38}[a-z0-9]", username)
    assert names.storage_problem(username) is None
    assert names.is_mapped(username) == (names.username_problem(claim) is not None)
    assert not names._S3_RESERVED.fullmatch(username)


@given(CLAIMS, CLAIMS)
def test_two_people_are_never_one(one: str, other: str) -> None:
    assert (names.from_claim(one) == names.from_claim(other)) == (one == other)


@given(CLAIMS)
def test_twins_of_a_name_are_not_one(claim: str) -> None:
    twins = {claim, claim.lower(), claim.upper(), claim.casefold(), f"{claim} ", f"{claim}."}
    assert len({names.from_claim(twin) for twin in twins}) == len(twins)


@given(CLAIMS)
def test_a_mapped_name_is_mapped_again(claim: str) -> None:
    """So that nobody can be called by the provider what somebody else is called here."""
    username = names.from_claim(claim)
    assert (names.from_claim(username) == username) == (not names.is_mapped(username))


@given(CLAIMS)
def test_what_is_escaped_can_be_read_back(claim: str) -> None:
    username = names.from_claim(claim)
    if username.startswith(names.ESCAPED):
        octets = unquote_to_bytes(username.removeprefix(names.ESCAPED).replace("-", "%"))
        assert octets == claim.encode("utf-8", "surrogatepass")


@given(CLAIMS, st.text(max_size=10), st.text(max_size=10))
def test_no_mapped_name_meets_another_ones_server(claim: str, other: str, server: str) -> None:
    mine, theirs = names.from_claim(claim), names.from_claim(other)
    objects = [names.server_object("q1234", *args) for args in ((mine,), (theirs, server or "x"))]
    assert objects[0] != objects[1]


@pytest.mark.parametrize("name", ["a", "2024", "run-7", "x" * 20])
def test_names_of_further_buckets(name: str) -> None:
    assert names.further_problem("ada", name) is None


@pytest.mark.parametrize(
    "name",
    ["", "x" * 21, "A", "a--b", "-a", "a-", "a.b", "a/b", "a_b", "é", "x-s3", "ol-s3", "a-s3alias"],
)
def test_invalid_names_of_further_buckets_say_the_rule(name: str) -> None:
    assert names.FURTHER_RULE in (names.further_problem("ada", name) or "")


PEOPLE = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{0,5}(-[a-z0-9]{1,5}){0,3}", fullmatch=True),
    st.text(alphabet="aB@.-_é", max_size=45),
).map(names.from_claim)


@given(PEOPLE, st.from_regex(r"[a-z0-9]{1,6}(-[a-z0-9]{1,6}){0,2}", fullmatch=True))
def test_a_bucket_s_name_says_whose_it_is(username: str, name: str) -> None:
    bucket = names.further_prefix(username) + name
    assert names.owner(bucket) == (username, name)
    assert names.owner(names.bucket(username)) == (username, "")
    assert len(bucket) <= 63
    assert names.storage_problem(bucket) is not None, "it is nobody's personal bucket"
