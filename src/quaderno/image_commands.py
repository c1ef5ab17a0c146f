"""`quaderno image`: the catalogue, images made from the base image, and whether they will do."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from quaderno import terminal
from quaderno.arguments import Dir, Json, load
from quaderno.config import CONFIG_FILE
from quaderno.contract import Point, kept
from quaderno.errors import ConfigError
from quaderno.quantities import say_amount
from quaderno.terminal import cell, out, progress

if TYPE_CHECKING:
    from quaderno.stock import Listed

image_app = typer.Typer(help="Container images of people's servers.")

NoNetwork = Annotated[
    bool, typer.Option("--no-network", help="Let the server reach nothing but the hub.")
]
Timeout = Annotated[
    int | None,
    typer.Option(min=1, help="Seconds until it must answer; servers.http_timeout if unset."),
]


@image_app.command("build")
def image_build(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Directory of a Dockerfile; the base image if unset."),
    ] = None,
    directory: Dir = None,
    tag: Annotated[str | None, typer.Option(help="Name of the image that is built.")] = None,
) -> None:
    """Build an image for people's servers: the base image, or the one in DIR."""
    from quaderno.images import build

    config = load(directory)
    if source is None:
        build.build_base(config, progress)
        return
    if tag is None or not (source / "Dockerfile").is_file():
        raise ConfigError(f"{source} needs a Dockerfile, and the image a --tag", "See --help")
    build.build(source.absolute(), tag, {}, config.logs / "image-build.log", progress)
    out.print(f"Built {tag}. To offer it, add it to servers.images in {CONFIG_FILE}.")


@image_app.command("check")
def image_check(
    image: Annotated[str, typer.Argument(help="Reference of an image on this machine.")],
    directory: Dir = None,
    no_network: NoNetwork = False,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Start an image as the hub would and tell whether it keeps the contract.

    Exit 1 when it does not: no server would start, or one that is not safe.
    """
    from quaderno import trial

    say = (lambda _line: None) if as_json else progress
    points = trial.check(load(directory), image, say, network=not no_network, timeout=timeout or 0)
    _report(image, points, as_json)


def _report(image: str, points: list[Point], as_json: bool) -> None:
    """Print the points; exit 1 when one is an error."""
    if as_json:
        found = [dataclasses.asdict(point) for point in points]
        answer = {"image": image, "conforms": kept(points), "points": found}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        for point in points:
            terminal.point(point)
        keeps = "keeps" if kept(points) else "does not keep"
        out.print(f"{escape(image)} {keeps} the contract.")
    if not kept(points):
        raise typer.Exit(1)


@image_app.command("list")
def image_list(directory: Dir = None, as_json: Json = False) -> None:
    """List the catalogue and the images that people brought: size, contract, who uses them."""
    from quaderno import stock

    images = stock.listing(load(directory))
    if as_json:
        listed = [dataclasses.asdict(image) for image in images]
        sys.stdout.write(json.dumps({"images": listed}, indent=2) + "\n")
        return
    columns = ["name", "reference", "here", "size", "contract", "used by", "last used"]
    terminal.table(columns, [_row(image) for image in images])


def _row(image: "Listed") -> list[str]:
    size = "-" if image.size is None else say_amount(image.size)
    values = (image.contract, image.used_by, image.last_used)
    return [image.name or "-", image.reference, cell(image.present), size, *map(cell, values)]
