"""Which applications operators may register, and where these may send people."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaderno.errors import AccountError

from .people import manage

GOOD = [
    "https://app.example.org/callback",
    "https://app.example.org:8443/a?b=c",
    "http://127.0.0.1/callback",
    "http://localhost:4242",
    "http://[::1]:8080/",
    "edu.kit.data.oidc-agent:/redirect",
]
BAD = [
    "",
    "app",
    "http://app.example.org/callback",
    "https://*.example.org/",
    "https://app.example.org/#token",
    "https://user@app.example.org/",
    "https://app.example.org@evil.example/",
    "https://app.example.org;script-src.evil/",
    "https://app.example.org\\@evil.example/",
    "https://bücher.example/",
    "https:///callback",
    "https://a b/",
    "javascript:alert(1)",
    "data:text/html,x",
    "http://localhost.evil.example/",
    "http://[::1/",
    "https://app.example.org/\n",
]


@pytest.mark.parametrize("uri", GOOD)
def test_addresses_for_answers(uri: str) -> None:
    from quaderno.iam.client_rules import redirect_problem

    assert redirect_problem(uri) is None


@pytest.mark.parametrize("uri", BAD)
def test_addresses_that_are_none(uri: str) -> None:
    from quaderno.iam.client_rules import redirect_problem

    assert redirect_problem(uri)


@settings(deadline=None)
@given(st.one_of(st.text(max_size=30), st.text(max_size=30).map(lambda rest: f"https://{rest}")))
def test_no_address_ends_a_directive_of_the_pages_policy(uri: str) -> None:
    """Where forms may lead is in a header of every page (`middleware`)."""
    from quaderno.iam.client_rules import redirect_problem

    if redirect_problem(uri) is None:
        assert not set(uri) & set("; ,'\"\n\r")


def test_registered_listed_removed() -> None:
    uri = "https://app.example.org/cb"
    made = json.loads(manage("change_client", "add", "grafana", f"--redirect-uri={uri}"))
    assert len(made["client_secret"]) > 30
    program = json.loads(manage("change_client", "add", "agent", "--name", "An agent"))
    assert program == {"client_id": "agent", "client_secret": ""}
    listed = {each["id"]: each for each in json.loads(manage("list_clients"))}
    assert listed["grafana"]["answers_at"] == ["app.example.org"]
    assert (listed["agent"]["name"], listed["agent"]["answers_at"]) == ("An agent", ["device flow"])
    assert made["client_secret"] not in str(listed)
    manage("change_client", "remove", "grafana")
    assert {each["id"] for each in json.loads(manage("list_clients"))} == {"quaderno", "agent"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("add", "x", "--name", "An agent"), "identifier"),
        (("add", "quaderno", "--name", "Other"), "identifier"),
        (("add", "agent", "--name", "NOTES & CO"), "name of another one"),
        (("add", "agent", "--name", "a\u202eb c"), "can be seen"),
        (("add", "agent", "--redirect-uri", "http://evil.example"), "must begin with https://"),
        (("remove", "quaderno"), "hub's own"),
        (("remove", "nobody"), "no application"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(AccountError, match=words):
        manage("change_client", *arguments)
