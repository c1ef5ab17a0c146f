"""Registering people, and the rules that hold wherever an account is created or changed."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from quaderno.config import Config
from quaderno.errors import AccountError

from .conftest import PASSWORD


def run(command: str, *arguments: str) -> str:
    """What a management command prints."""
    from django.core.management import call_command

    output = io.StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue()


@pytest.fixture
def add_user(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    def add(*arguments: str, password: str = PASSWORD) -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\nanother line\n"))
        return run("add_user", *arguments, "--password-stdin")

    return add


def listed() -> dict[str, dict[str, Any]]:
    return {user["name"]: user for user in json.loads(run("list_users", "--json"))}


def test_a_person_is_registered_whole(add_user: Callable[..., str]) -> None:
    said = add_user("ada", "--email", "Ada@Example.org", "--group", "/dev/ml", "--group", "/dev")
    assert said.strip() == "ada is registered"
    assert listed()["ada"] == {
        "name": "ada",
        "email": "ada@example.org",
        "groups": ["/dev", "/dev/ml"],
        "admin": False,
        "state": "active",
        "last_login": None,
    }


def test_an_administrator_is_one_for_the_hub_too(add_user: Callable[..., str]) -> None:
    add_user("root-ada", "--admin")
    assert listed()["root-ada"]["admin"]
    assert listed()["root-ada"]["groups"] == ["/quaderno/admins"]


def test_the_password_is_the_first_line(add_user: Callable[..., str]) -> None:
    from quaderno.iam.models import User

    add_user("ada", password="spaces at the end  ")
    assert User.objects.get(username="ada").check_password("spaces at the end  ")


@pytest.mark.parametrize(
    ("arguments", "password", "says"),
    [
        (["Ada"], PASSWORD, "a username has 3 to 40 characters"),
        (["scratch"], PASSWORD, "this name is reserved"),
        (["commons"], PASSWORD, "this name is reserved"),
        (["ada"], "short", "too short"),
        (["ada"], "password123", "too common"),
        (["ada-lovelace"], "ada-lovelace", "too similar to the username"),
        (["ada"], "", "no password on standard input"),
        (["ada", "--email", "nowhere"], PASSWORD, "Enter a valid email address"),
        (["ada", "--group", "dev"], PASSWORD, "The group 'dev' cannot be used"),
        (["ada", "--group", "/Dev"], PASSWORD, "The group '/Dev' cannot be used"),
        (["ada", "--group", "/dev/"], PASSWORD, "The group '/dev/' cannot be used"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_leaves_nothing(
    add_user: Callable[..., str], arguments: list[str], password: str, says: str
) -> None:
    with pytest.raises(AccountError) as refused:
        add_user(*arguments, password=password)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert listed() == {}


def test_names_and_addresses_are_taken_once(add_user: Callable[..., str]) -> None:
    add_user("ada", "--email", "ada@example.org")
    with pytest.raises(AccountError, match="The user ada exists already"):
        add_user("ada")
    with pytest.raises(AccountError, match="belongs to another account"):
        add_user("eve", "--email", "ADA@example.org")
    assert list(listed()) == ["ada"]


def test_no_code_path_stores_a_bad_name() -> None:
    from quaderno.iam.models import User

    for name in ("scratch", "commons"):
        with pytest.raises(AccountError, match="reserved"):
            User.objects.create_user(name, password=PASSWORD)


def test_the_client_registration_follows_the_configuration(config: Config) -> None:
    from allauth.idp.oidc.models import Client

    client = Client.objects.get()
    stored = client.secret
    client.name = "changed by hand"
    client.set_redirect_uris(["https://evil.example/"])
    client.skip_consent = True
    client.save()
    run("ensure_client")
    run("ensure_client")
    client = Client.objects.get()
    assert (client.id, client.name) == ("quaderno", "Notes & Co")
    assert client.get_redirect_uris() == ["http://127.0.0.1:8000/hub/oauth_callback"]
    assert client.get_scopes() == config.oidc.scopes
    assert client.type == Client.Type.CONFIDENTIAL
    assert not client.skip_consent
    assert client.secret == stored
    secret = config.oidc.client_secret.get_secret_value()
    assert secret not in stored
    assert client.check_secret(secret)
    client.set_secret("changed by hand")
    client.save()
    run("ensure_client")
    assert Client.objects.get().check_secret(secret)
