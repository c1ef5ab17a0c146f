"""Which applications operators may register, and where these may send people."""

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quaderno.errors import AccountError

from .people import manage

if TYPE_CHECKING:
    from django.test import Client

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


CLIENTS = "/identity/admin/allauth_idp_oidc/client/"
FORM = {
    "id": "grafana",
    "name": "Our plots",
    "type": "confidential",
    "scopes": "openid\r\nprofile",
    "default_scopes": "openid",
    "grant_types": "authorization_code\r\nrefresh_token",
    "redirect_uris": "https://plots.example.org/cb\r\nhttp://localhost:4242",
}


def test_administrators_register_and_change_applications(admin: "Client") -> None:
    made = admin.post(f"{CLIENTS}add/", FORM, follow=True)
    assert "The client secret is only shown once" in made.content.decode()
    listed = {each["id"]: each for each in json.loads(manage("list_clients"))}
    assert listed["grafana"]["answers_at"] == ["localhost:4242", "plots.example.org"]
    changed = FORM | {"redirect_uris": "https://plots.example.org/callback"}
    assert admin.post(f"{CLIENTS}grafana/change/", changed).status_code == 302
    listed = {each["id"]: each for each in json.loads(manage("list_clients"))}
    assert listed["grafana"]["answers_at"] == ["plots.example.org"]
    assert listed["grafana"]["name"] == "Our plots"


@pytest.mark.parametrize("where", ["add/", "grafana/change/"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *(({"redirect_uris": f"https://plots.example.org/cb\n{uri}"}, "cannot be used")
          for uri in BAD if uri.strip() == uri and uri),
        ({"name": "NOTES & CO"}, "name of another one"),
        ({"name": "a\u202eb c"}, "can be seen"),
        ({"grant_types": "authorization_code\nclient_credentials"}, "no kind of grant here"),
        ({"scopes": "openid\nadmin"}, "no scope here"),
        ({"default_scopes": "everything"}, "no scope here"),
    ],
)  # fmt: skip
def test_administrators_are_held_to_the_same_rules(
    admin: "Client", where: str, changes: dict[str, str], words: str
) -> None:
    manage("change_client", "add", "grafana", "--redirect-uri=https://plots.example.org/cb")
    before = manage("list_clients")
    new = {"id": "plots"} if where == "add/" else {}
    page = admin.post(f"{CLIENTS}{where}", FORM | new | changes)
    assert page.status_code == 200
    assert words in page.content.decode()
    assert manage("list_clients") == before


def test_administrators_give_no_identifier_twice(admin: "Client") -> None:
    for taken in ("quaderno", "a b"):
        page = admin.post(f"{CLIENTS}add/", FORM | {"id": taken})
        assert page.status_code == 200
        assert {each["id"] for each in json.loads(manage("list_clients"))} == {"quaderno"}


def test_the_hubs_registration_is_the_settings(admin: "Client") -> None:
    assert admin.post(f"{CLIENTS}quaderno/change/", FORM).status_code == 403
    assert admin.post(f"{CLIENTS}quaderno/delete/", {"post": "yes"}).status_code == 403
