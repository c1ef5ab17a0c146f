"""`quaderno server`: people's servers that run, and the end of one."""

import json
import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from quaderno import terminal
from quaderno.arguments import Dir, Json, as_component, load
from quaderno.config import Config
from quaderno.quantities import format_memory
from quaderno.terminal import out

server_app = typer.Typer(help="People's servers.")

User = Annotated[str, typer.Argument(help="Whose server it is.")]
Name = Annotated[str, typer.Argument(help="Its name; the person's first server, without.")]


@server_app.command("list")
def server_list(directory: Dir = None, as_json: Json = False) -> None:
    """List the servers that run, start or stop, and what each was given."""
    found = json.loads(_ask(load(directory), "list"))
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    elif found:
        columns = ["user", "server", "state", "image", "cpu", "memory", "gpu", "since"]
        columns.append("last_activity")
        terminal.table(columns, [[_cell(each, column) for column in columns] for each in found])
    else:
        out.print("No server runs.")


def _cell(server: dict[str, Any], column: str) -> str:
    value = server[column]
    return format_memory(value) if column == "memory" else terminal.cell(value)


@server_app.command("stop")
def server_stop(user: User, name: Name = "", directory: Dir = None) -> None:
    """Stop a server, or cancel its start: what exists only in it is copied as at any stop, and the
    node agent goes on uploading."""
    for sentence in json.loads(_ask(load(directory), "stop", "--", user, name)):
        out.print(escape(sentence))
    out.print(escape(f"{user}'s server {name}".rstrip()) + " has stopped")


def _ask(config: Config, *arguments: str) -> str:
    """What the hub's program for servers prints."""
    from quaderno.hub import component as hub

    return as_component(config, "hub", hub.servers_command(*arguments))
