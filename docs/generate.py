"""Writes the reference pages from the code they describe: `python docs/generate.py`.

MkDocs runs it before each build (`hooks` in mkdocs.yml), and a test fails when a page is out of
date or when a setting, command or option has no help.
"""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from quaderno.cli import app
from quaderno.config import Config, Section, marked_fields
from quaderno.quantities import format_memory, parse_memory

HERE = Path(__file__).parent
_PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    SecretStr: "secret",
}
# What `quaderno init` writes, which no default can say.
_CHOSEN_BY_INIT = {
    "instance": "made up by `init`",
    "servers.network": "chosen by `init` so that it is free",
    "servers.cpu.choices": "chosen by `init` for this machine",
    "servers.memory.choices": "chosen by `init` for this machine",
}


def pages() -> dict[Path, str]:
    """Each generated file and what it ought to say."""
    reference = HERE / "reference"
    return {reference / "settings.md": settings_page(), reference / "cli.md": cli_page()}


def on_pre_build(config: Any) -> None:  # noqa: ARG001 - MkDocs gives its configuration
    """MkDocs' hook. A page that is current is left alone, lest `mkdocs serve` build for ever."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")


# --- settings


@dataclass(frozen=True)
class Setting:
    """One line of quaderno.yaml; `name` is dotted."""

    name: str
    kind: str
    default: str
    help: str


@dataclass(frozen=True)
class Group:
    """A section of quaderno.yaml; `name` is empty for the top."""

    name: str
    help: str
    settings: list[Setting]


def groups(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[Group]:
    """The sections of the configuration, outer ones first."""
    fields = [(f"{prefix}{name}", field) for name, field in model.model_fields.items()]
    plain = [
        _setting(name, field) for name, field in fields if _is_list(field) or not _inner(field)
    ]
    yield Group(prefix.rstrip(".["), " ".join((model.__doc__ or "").split()), plain)
    for name, field in fields:
        if section := _inner(field):
            yield from groups(section, f"{name}{'[]' if _is_list(field) else ''}.")


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    """The section that `field` holds, alone or in a list."""
    kind = get_args(field.annotation)[0] if _is_list(field) else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _is_list(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is list


def _setting(name: str, field: FieldInfo) -> Setting:
    kind = _kind(field.annotation, field.metadata)
    help_text = field.description or ""
    secret = field.annotation is SecretStr
    if readers := _and(sorted(_readers(name))):
        help_text += (
            f" Read by {readers}, besides root."
            if secret
            else f" A change restarts {readers} alone."
        )
    return Setting(name, kind, _default(name, field, secret=secret), help_text)


def _readers(name: str) -> frozenset[str]:
    """The components that need it, or the section that it is in; none where all may read it."""
    path, marked = tuple(name.replace("[]", "").split(".")), dict(marked_fields())
    places = [path[:length] for length in range(1, len(path) + 1)]
    return next((marked[place] for place in reversed(places) if place in marked), frozenset())


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _kind(annotation: Any, metadata: list[Any]) -> str:
    """The type in plain words, with its bounds."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0], list(inner[1:]))
    if any(isinstance(m, BeforeValidator) and m.func is parse_memory for m in metadata):
        return "amount of memory, as `512M` or `2G`"
    if origin in (Union, types.UnionType):
        return _kind(next(kind for kind in inner if kind is not type(None)), metadata)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in inner[:-1]) + f" or `{inner[-1]}`"
    if origin is list:
        return "list; each: " + _kind(inner[0], [])
    if origin is dict:
        return "mapping; each: " + _kind(inner[1], [])
    if issubclass(annotation, Section):
        return "a section, see below"
    return _PLAIN[annotation] + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    pattern = next((m.pattern for m in metadata if getattr(m, "pattern", None)), "")
    if pattern:
        return f" that matches `{pattern}`"
    least = next((f"{m.ge:g}" for m in metadata if isinstance(m, Ge)), "")
    most = next((f"{m.le:g}" for m in metadata if isinstance(m, Le)), "")
    if any(isinstance(m, Gt) for m in metadata):
        return " above 0"
    if least and most:
        return f", {least} to {most}"
    return f", {least} or more" if least else ""


def _default(name: str, field: FieldInfo, *, secret: bool) -> str:
    if secret:
        return "generated by `init`" if field.default is PydanticUndefined else "empty"
    if name in _CHOSEN_BY_INIT:
        return _CHOSEN_BY_INIT[name]
    if name == "dir" or field.default is None:
        return "unset"
    if field.default is PydanticUndefined:
        return "required"
    if isinstance(field.default, int) and "memory" in _kind(field.annotation, field.metadata):
        return f"`{format_memory(field.default)}`"
    return _literal(field.default)


def _literal(value: object) -> str:
    if value in ("", [], {}):
        return "empty"
    if isinstance(value, list):
        return ", ".join(f"`{getattr(item, 'name', item)}`" for item in value)
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def settings_page() -> str:
    """docs/reference/settings.md"""
    lines = [
        "# Settings",
        "",
        "Everything that `quaderno.yaml` may hold. A dot stands for a level: `ports.web` is `web` "
        "below `ports`. Brackets stand for the entries of a list. Unknown keys are refused. After "
        "a change: `quaderno check`, then `quaderno up`, which restarts the components that know "
        "it: all of them, unless the description names some.",
    ]
    for group in groups():
        heading = f"`{group.name}`" if group.name else "The instance"
        lines += ["", f"## {heading}", "", group.help, ""]
        lines += ["| Setting | Type | Default | What it does |", "|---|---|---|---|"]
        lines += [f"| `{s.name}` | {s.kind} | {s.default} | {s.help} |" for s in group.settings]
    return "\n".join(lines) + "\n"


# --- command line


@dataclass(frozen=True)
class Parameter:
    """One argument or option of a command."""

    name: str
    help: str


@dataclass(frozen=True)
class Command:
    """One command; `name` has all its words."""

    name: str
    help: str
    parameters: list[Parameter]


def commands() -> list[Command]:
    """Every command, `quaderno` itself first."""
    return list(_commands(typer.main.get_command(app), "quaderno"))


def _commands(command: Any, name: str) -> Iterator[Command]:
    yield Command(name, command.help or "", [_parameter(p) for p in command.params])
    for word, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, f"{name} {word}")


def _parameter(parameter: Any) -> Parameter:
    help_text = parameter.help or ""
    if parameter.param_type_name == "argument":
        return Parameter(parameter.metavar or parameter.name.upper(), help_text)
    value = "" if parameter.is_flag else f" {parameter.name.upper()}"
    if parameter.name == "directory":
        value = " DIR"
    if parameter.default and not parameter.is_flag:
        help_text += f" Default: `{parameter.default}`."
    required = " Required." if parameter.required else ""
    return Parameter(parameter.opts[0] + value, help_text + required)


def cli_page() -> str:
    """docs/reference/cli.md"""
    lines = [
        "# Command line",
        "",
        "Every command works on one instance, the one in its state directory: `--dir`, before or "
        "after the command, else `/var/lib/quaderno` for root. Exit status 0 means done; 1 that it "
        "was not, and the last two lines say why and what to do; 2 that the command was not "
        "understood.",
    ]
    for command in commands():
        lines += ["", f"## `{command.name}`", "", command.help]
        if command.parameters:
            lines += ["", "| | |", "|---|---|"]
            lines += [f"| `{p.name}` | {p.help} |" for p in command.parameters]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    on_pre_build(None)
