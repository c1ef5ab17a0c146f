"""`quaderno image`: the catalogue, images made from the base image, and whether they will do."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.markup import escape

from quaderno import terminal
from quaderno.arguments import Dir, Json, load
from quaderno.config import CONFIG_FILE, Config, Image
from quaderno.config.kinds import is_reference
from quaderno.contract import Point, kept
from quaderno.errors import ConfigError
from quaderno.quantities import say_amount
from quaderno.terminal import cell, out, progress

if TYPE_CHECKING:
    from quaderno.stock import Listed

image_app = typer.Typer(help="Container images of people's servers.")


def _reference(value: str | None) -> str | None:
    """Of an argument or option. Raises ConfigError when it cannot name an image."""
    if value is not None and not is_reference(value):
        raise ConfigError(
            f"{value!r} is not an image reference",
            "Such as registry.example.org/group/image:tag, without capitals and spaces",
        )
    return value


NoNetwork = Annotated[
    bool, typer.Option("--no-network", help="Let the server reach nothing but the hub.")
]
Timeout = Annotated[
    int | None,
    typer.Option(min=1, help="Seconds until it must answer; servers.http_timeout if unset."),
]
Add = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Put it into the catalogue by this name, if it conforms."),
]
Title = Annotated[str, typer.Option("--display-name", help="With --add: name that people see.")]
About = Annotated[str, typer.Option("--description", help="With --add: what is inside.")]


@image_app.command("build")
def image_build(
    source: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Directory of a Dockerfile; the base image if unset."),
    ] = None,
    directory: Dir = None,
    tag: Annotated[
        str | None, typer.Option(callback=_reference, help="Name of the image of DIR.")
    ] = None,
    add: Add = None,
    title: Title = "",
    about: About = "",
    minimal: Annotated[
        bool, typer.Option("--minimal", help="Build the base image without scientific Python.")
    ] = False,
) -> None:
    """Build an image for people's servers: the base image, or the one in DIR, which is checked."""
    from quaderno.images import build

    config = load(directory)
    if source is None:
        if tag is not None:
            raise ConfigError(
                f"there is no directory from which to build {tag}",
                f"quaderno image build DIR --tag {tag}",
            )
        variant = "minimal" if minimal else "base"
        reference = build.base_reference(config, variant)
        image = _entry(config, directory, reference, add, title, about)
        build.build_base(config, progress, variant)
        if image:
            _finish(config, directory, reference, image)
        return
    tag = _tag_for(source, tag, minimal=minimal)
    image = _entry(config, directory, tag, add, title, about)
    build.build(source.absolute(), tag, {}, build.new_log(config), progress)
    _finish(config, directory, tag, image)


def _tag_for(source: Path, tag: str | None, *, minimal: bool) -> str:
    """The name of the image of `source`. Raises ConfigError when none can be built so."""
    if minimal:
        raise ConfigError(f"--minimal is the base image's, not that of {source}", "Leave one out")
    if not (source / "Dockerfile").is_file():
        raise ConfigError(
            f"there is no file {source / 'Dockerfile'}", "Name the directory that has one"
        )
    if tag is None:
        raise ConfigError(
            f"the image of {source} has no name yet",
            f"quaderno image build {source} --tag NAME:VERSION",
        )
    return tag


@image_app.command("adapt")
def image_adapt(
    source: Annotated[
        str,
        typer.Argument(callback=_reference, help="Reference of an image with Python and pip."),
    ],
    tag: Annotated[str, typer.Option(callback=_reference, help="Name of the image that is built.")],
    directory: Dir = None,
    add: Add = None,
    title: Title = "",
    about: About = "",
) -> None:
    """Make an image for people's servers of one of the Jupyter Docker Stacks or a plain Python
    image, and check it."""
    from quaderno.images import adapt

    config = load(directory)
    image = _entry(config, directory, tag, add, title, about)
    adapt.adapt(config, source, tag, progress)
    _finish(config, directory, tag, image)


def _entry(
    config: Config, directory: Path | None, tag: str, name: str | None, title: str, about: str
) -> Image | None:
    """The catalogue's entry that is asked for, if any; raises ConfigError before time is spent."""
    from quaderno.config import catalogue

    if name is None:
        return None
    try:
        image = Image(name=name, display_name=title or name, description=about, reference=tag)
        catalogue.offers((directory or config.dir) / CONFIG_FILE, config.servers.images, image)
        return image
    except ValidationError as error:
        raise ConfigError(
            f"{name} is no name for an image", "Lower-case letters, digits and hyphens, at most 40"
        ) from error


def _finish(config: Config, directory: Path | None, tag: str, image: Image | None) -> None:
    """Check the image that was built, and offer it where that is asked for; exit 1 when it does
    not keep the contract."""
    from quaderno import trial
    from quaderno.config import catalogue

    progress(f"Built {tag}")
    _report(tag, trial.check(config, tag, progress), as_json=False)
    if image is None:
        out.print(f"To offer it, add it to servers.images in {CONFIG_FILE}, or build with --add.")
    elif catalogue.add((directory or config.dir) / CONFIG_FILE, image):
        out.print(f"{escape(image.name)} is in the catalogue. To offer it: quaderno up --detach")
    else:
        out.print(f"{escape(image.name)} is in the catalogue already.")


@image_app.command("check")
def image_check(
    image: Annotated[
        str, typer.Argument(callback=_reference, help="Reference of an image on this machine.")
    ],
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
