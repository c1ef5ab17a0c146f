"""`quaderno user`, `group` and `client`: by the identity provider's own commands."""

import getpass
import json
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from quaderno import terminal
from quaderno.arguments import Dir, Json, as_component, load
from quaderno.config import Config
from quaderno.errors import AccountError, ConfigError
from quaderno.terminal import cell, out

user_app = typer.Typer(help="People registered in the embedded identity provider.")
group_app = typer.Typer(help="Groups of the embedded identity provider, as /dev/ml.")
client_app = typer.Typer(help="Applications that may send people to the embedded provider.")

Name = Annotated[str, typer.Argument(help="Username.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Reason = Annotated[str, typer.Option(help="Why, as the person is told.")]


@user_app.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="Username; also the name of the bucket.")],
    directory: Dir = None,
    password_stdin: PasswordStdin = False,
    email: Annotated[str, typer.Option(help="E-mail address.")] = "",
    group: Annotated[list[str] | None, typer.Option(help="A group; may be repeated.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May administer the service.")] = False,
) -> None:
    """Register a person.

    The password is asked for, or read with --password-stdin; where nobody can be asked, one is
    made and printed once.
    """
    config = load(directory)
    password, made = _password(password_stdin)
    options = ["--email", email] if email else []
    options += [part for one in group or [] for part in ("--group", one)]
    options += ["--admin"] if admin else []
    _manage(config, ["add_user", *options, "--password-stdin", "--", name], password + "\n")
    out.print(f"{name} is registered and can log in at {config.public_url}")
    if made:
        out.print(f"Password, shown only now: {password}")


@user_app.command("passwd")
def user_passwd(name: Name, directory: Dir = None, password_stdin: PasswordStdin = False) -> None:
    """Give a person a new password, and end what they have open with the old one.

    The password comes from where that of a new person does.
    """
    config = load(directory)
    password, made = _password(password_stdin)
    _manage(config, ["set_password", "--password-stdin", "--", name], password + "\n")
    out.print(f"{escape(name)} has a new password")
    if made:
        out.print(f"Password, shown only now: {password}")


def _password(from_stdin: bool) -> tuple[str, bool]:
    """The password, and whether we made it."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), False
    if not sys.stdin.isatty():
        return secrets.token_urlsafe(15), True
    first = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != first:
        raise AccountError("the two passwords differ", "Try again")
    return first, False


@user_app.command("list")
def user_list(directory: Dir = None, as_json: Json = False) -> None:
    """List who is registered, and who asks to be."""
    text = _manage(load(directory), ["list_users", "--json"])
    if as_json:
        sys.stdout.write(text)
        return
    people = json.loads(text)
    columns = list(people[0]) if people else ["name"]
    terminal.table(columns, [[cell(person[key]) for key in columns] for person in people])


@user_app.command("approve")
def user_approve(name: Name, directory: Dir = None) -> None:
    """Approve a person's request for an account; they are told by e-mail."""
    _change(directory, "approve", name)


@user_app.command("reject")
def user_reject(name: Name, reason: Reason, directory: Dir = None) -> None:
    """Reject a person's request for an account; they are told why."""
    _change(directory, "reject", name, f"--reason={reason}")


@user_app.command("disable")
def user_disable(name: Name, reason: Reason, directory: Dir = None) -> None:
    """Suspend a person's account; they are told why when they log in."""
    _change(directory, "disable", name, f"--reason={reason}")


@user_app.command("enable")
def user_enable(name: Name, directory: Dir = None) -> None:
    """Let a person in again whose account is suspended."""
    _change(directory, "enable", name)


def _change(directory: Path | None, action: str, name: str, *options: str) -> None:
    said = _manage(load(directory), ["change_user", *options, "--", action, name])
    out.print(escape(said.strip()))


Group = Annotated[str, typer.Argument(help="Name of the group, as /dev/ml.")]
Manager = Annotated[
    bool, typer.Option("--manager", help="As one who decides who is in it and in those below.")
]


@group_app.command("list")
def group_list(directory: Dir = None, as_json: Json = False) -> None:
    """List the groups with their members and managers."""
    text = _manage(load(directory), ["list_groups"])
    if as_json:
        sys.stdout.write(text)
        return
    rows = [[cell(each[key]) for key in _GROUP_COLUMNS] for each in json.loads(text)]
    terminal.table(list(_GROUP_COLUMNS), rows)


_GROUP_COLUMNS = ("name", "members", "managers")


@group_app.command("add")
def group_add(group: Group, name: Name, directory: Dir = None, manager: Manager = False) -> None:
    """Add a person to a group, which is made if need be."""
    _change_group(directory, "add", group, name, manager)


@group_app.command("remove")
def group_remove(group: Group, name: Name, directory: Dir = None, manager: Manager = False) -> None:
    """Remove a person from a group."""
    _change_group(directory, "remove", group, name, manager)


def _change_group(
    directory: Path | None, action: str, group: str, name: str, manager: bool
) -> None:
    options = ["--manager"] if manager else []
    said = _manage(load(directory), ["change_group", *options, "--", action, group, name])
    out.print(escape(said.strip()))


ClientId = Annotated[str, typer.Argument(help="Identifier of the application.")]


@client_app.command("list")
def client_list(directory: Dir = None, as_json: Json = False) -> None:
    """List the applications; the hub is one."""
    text = _manage(load(directory), ["list_clients"])
    if as_json:
        sys.stdout.write(text)
        return
    rows = [[cell(each[key]) for key in _CLIENT_COLUMNS] for each in json.loads(text)]
    terminal.table(list(_CLIENT_COLUMNS), rows)


_CLIENT_COLUMNS = ("id", "name", "answers_at", "since")


@client_app.command("add")
def client_add(
    identifier: ClientId,
    directory: Dir = None,
    name: Annotated[str, typer.Option(help="What people are told it is called.")] = "",
    redirect_uri: Annotated[
        list[str] | None, typer.Option(help="Where it takes answers; may be repeated.")
    ] = None,
) -> None:
    """Register an application.

    With --redirect-uri, it is a service with a secret, which is printed once. Without, it is a
    program without secret or browser that uses the device flow.
    """
    config = load(directory)
    options = ["--name", name] if name else []
    options += [part for uri in redirect_uri or [] for part in ("--redirect-uri", uri)]
    made = json.loads(_manage(config, ["change_client", *options, "--", "add", identifier]))
    out.print(f"Issuer: {config.issuer}")
    out.print(f"Client identifier: {escape(made['client_id'])}")
    if made["client_secret"]:
        out.print(f"Client secret, shown only now: {escape(made['client_secret'])}")


@client_app.command("invite")
def client_invite(
    directory: Dir = None,
    days: Annotated[int, typer.Option(min=1, max=30, help="Days that it is good for.")] = 1,
) -> None:
    """Make a token with which one application may register itself (RFC 7591)."""
    made = json.loads(_manage(load(directory), ["invite_client", f"--days={days}"]))
    out.print(f"Registration endpoint: {escape(made['registration_endpoint'])}")
    out.print(f"Initial access token, good once and shown only now: {escape(made['token'])}")


@client_app.command("remove")
def client_remove(identifier: ClientId, directory: Dir = None) -> None:
    """End an application's registration; its tokens end with it."""
    _manage(load(directory), ["change_client", "--", "remove", identifier])
    out.print(f"{escape(identifier)} is not registered any more")


def _manage(config: Config, command: list[str], text: str | None = None) -> str:
    """Run a command of the embedded identity provider as its user."""
    if not config.iam.embedded:
        raise ConfigError(
            "people are registered in an external identity provider", f"Go to {config.issuer}"
        )
    program = [sys.executable, "-m", "quaderno.iam.manage"]
    return as_component(config, "iam", [*program, *command], text)
