"""What commands share: the options that all know, and the instance that they work on."""

from pathlib import Path
from typing import Annotated

import typer

from quaderno import config as quaderno_config
from quaderno.config import Config


def _directory(context: typer.Context, value: Path | None) -> Path:
    """--dir after the command, else before it, else the default."""
    general: Path | None = context.find_root().params.get("directory")
    return (value or general or quaderno_config.default_directory()).absolute()


Dir = Annotated[
    Path | None,
    typer.Option("--dir", help="State directory of the instance.", callback=_directory),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def load(directory: Path | None) -> Config:
    """The configuration in `directory`, or in the default one."""
    return quaderno_config.load(directory or quaderno_config.default_directory())


def as_component(config: Config, name: str, command: list[str], text: str | None = None) -> str:
    """What `command` prints when it runs with a component's identity and settings."""
    from quaderno import components

    return components.call(config, components.named(name), command, text)
