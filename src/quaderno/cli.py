"""The command line. It decides nothing: each command calls the module that does the work."""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from quaderno import __version__, terminal
from quaderno import config as quaderno_config
from quaderno.arguments import Dir, Json, as_component
from quaderno.arguments import load as _load
from quaderno.config import CONFIG_FILE, Config
from quaderno.errors import HostError, QuadernoError
from quaderno.image_commands import image_app
from quaderno.people import client_app, group_app, user_app
from quaderno.server_commands import server_app
from quaderno.site_commands import site_app
from quaderno.terminal import err, out, progress

app = typer.Typer(
    help="Notebooks as a Service for research clouds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
token_app = typer.Typer(help="Tokens for automation.")
for _name, _group in (
    ("user", user_app),
    ("group", group_app),
    ("client", client_app),
    ("token", token_app),
    ("image", image_app),
    ("server", server_app),
    ("site", site_app),
):
    app.add_typer(_group, name=_name, no_args_is_help=True)


def main() -> None:
    """The program `quaderno`; an error that an operator can act on is two lines, not a trace."""
    try:
        app()
    except QuadernoError as error:
        err.print(f"[red]error:[/] {escape(error.message)}")
        if error.hint:
            err.print(f"hint: {escape(error.hint)}")
        sys.exit(1)


def _version(value: bool) -> None:
    if value:
        out.print(f"quaderno {__version__}")
        raise typer.Exit


@app.callback()
def general(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="State directory of the instance.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Notebooks as a Service for research clouds."""


# --- the instance


@app.command()
def init(
    directory: Dir = None,
    public_url: Annotated[
        str | None, typer.Option(help="URL at which browsers will reach the service.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65000, help="First of the consecutive ports it uses.")
    ] = 8000,
) -> None:
    """Write quaderno.yaml with generated secrets; never overwrites."""
    _init(directory, public_url, port)


def _init(directory: Path | None, public_url: str | None = None, port: int = 8000) -> Config:
    from quaderno import init as initialisation

    place = directory or quaderno_config.default_directory()
    config = initialisation.write(place, public_url=public_url, first_port=port)
    progress(f"Wrote {place / CONFIG_FILE}")
    return config


@app.command()
def check(directory: Dir = None, as_json: Json = False) -> None:
    """Look for what would stop the service; exit 1 when there is an error."""
    from quaderno import checks

    findings = checks.run(_load(directory))
    if as_json:
        sys.stdout.write(json.dumps([dataclasses.asdict(f) for f in findings], indent=2) + "\n")
    else:
        for found in findings:
            terminal.finding(found)
        if not findings:
            out.print("Nothing stands in the way.")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


@app.command()
def up(
    directory: Dir = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the service runs.")] = False,
) -> None:
    """Start what the configuration embeds, wait until it is healthy, print the URLs.

    Without --detach it stays until Ctrl-C, which stops the service.
    """
    from quaderno import stack

    directory = directory or quaderno_config.default_directory()
    first = not (directory / CONFIG_FILE).exists()
    config = _init(directory) if first else _completed(directory)
    _refuse_errors(config)
    if not stack.up(config, progress):
        out.print(f"Quaderno runs already, at {config.public_url}: nothing to do.")
    else:
        _print_urls(config)
    if not detach:
        out.print("Ctrl-C stops it.")
        _await_end()
        _down(config)


def _completed(directory: Path) -> Config:
    """The settings, with secrets that the version of before did not need."""
    added = quaderno_config.complete(directory / CONFIG_FILE)
    if added:
        progress(f"Added to {directory / CONFIG_FILE}, for this version: {', '.join(added)}")
    return _load(directory)


def _refuse_errors(config: Config) -> None:
    """Print what the checks find; raise HostError when it stops us."""
    from quaderno import checks

    findings = checks.run(config)
    for found in findings:
        terminal.finding(found)
    errors = sum(finding.level == "error" for finding in findings)
    if errors:
        raise HostError(f"nothing was started: {errors} problem(s) above", "quaderno check")


def _print_urls(config: Config) -> None:
    option = f" --dir {config.dir}" if config.dir != quaderno_config.default_directory() else ""
    out.print(f"[green]Quaderno runs at[/] [bold]{config.public_url}[/]")
    out.print(f"  object storage (S3)  {config.store_public_endpoint}")
    out.print(f"  identity provider    {config.issuer}")
    if config.iam.embedded:
        out.print(f"Register a person: quaderno user add NAME{option}")


def _await_end() -> None:
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.sigwait(signals)


@app.command()
def down(directory: Dir = None) -> None:
    """Finish uploads and stop the service; a later up finds everything."""
    _down(_load(directory))


def _down(config: Config) -> None:
    from quaderno import stack

    stopped = stack.down(config, progress)
    out.print("Quaderno has stopped." if stopped else "Quaderno does not run: nothing to do.")


@app.command()
def status(directory: Dir = None, as_json: Json = False) -> None:
    """Show the components, whose files are not all in the object store, how far the store is behind
    that of another site, and whether messages to people wait; exit 1 when a component is down."""
    from quaderno import stack, undelivered
    from quaderno.storage import replication_lag

    config = _load(directory)
    found, storage = stack.status(config), stack.storage(config)
    replication = replication_lag.standing(config)
    warnings = [*stack.storage_warnings(config), *undelivered.warnings(config)]
    warnings += replication.warnings if replication else []
    if as_json:
        listed: dict[str, Any] = {"components": [dataclasses.asdict(each) for each in found]}
        listed |= {"storage": storage, "warnings": warnings}
        listed["replication"] = dataclasses.asdict(replication) if replication else None
        sys.stdout.write(json.dumps(listed, indent=2) + "\n")
    else:
        terminal.table(
            [field.name for field in dataclasses.fields(stack.Status)],
            [[str(v or "-") for v in dataclasses.astuple(component)] for component in found],
        )
        terminal.storage(storage)
        terminal.replication(replication)
        terminal.warnings(warnings)
    if any(component.state != "running" for component in found):
        raise typer.Exit(1)


@app.command()
def run(
    context: typer.Context,
    component: Annotated[
        str, typer.Argument(help="edge, iam, store, agent, files, hub, director or replication.")
    ],
    directory: Annotated[
        Path | None, typer.Option("--dir", help="State directory of the instance.")
    ] = None,
) -> None:
    """Become one component, in the foreground.

    Without --dir, the file that QUADERNO_CONFIG names is read, where it is set.
    """
    from quaderno import components

    file = os.environ.get("QUADERNO_CONFIG")
    directory = directory or context.find_root().params.get("directory")
    if directory or not file:
        config = _load(directory.absolute() if directory else None)
    else:
        config = quaderno_config.load_file(Path(file))
    components.run(config, components.named(component))


# --- tokens


@token_app.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="Name of the service that will use it.")],
    scope: Annotated[list[str], typer.Option(help="A JupyterHub scope; may be repeated.")],
    directory: Dir = None,
) -> None:
    """Print a new JupyterHub service token for automation."""
    sys.stdout.write(_tokens(directory, "create", name, *scope))


@token_app.command("list")
def token_list(directory: Dir = None, as_json: Json = False) -> None:
    """List the services that have tokens, and what they may do."""
    answer = _tokens(directory, "list")
    if as_json:
        sys.stdout.write(f"{answer}\n")
        return
    services = json.loads(answer).items()
    terminal.table(["service", "scopes"], [[name, " ".join(scopes)] for name, scopes in services])


@token_app.command("revoke")
def token_revoke(
    name: Annotated[str, typer.Argument(help="Service whose tokens end.")],
    directory: Dir = None,
) -> None:
    """End all tokens of a service."""
    _tokens(directory, "revoke", name)
    out.print(f"{escape(name)} has no token any more")


def _tokens(directory: Path | None, *arguments: str) -> str:
    """What the hub's program for tokens prints."""
    from quaderno.hub import component as hub

    return as_component(_load(directory), "hub", hub.tokens_command(*arguments))
