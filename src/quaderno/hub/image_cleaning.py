"""Removes the images that people brought and nobody has used for longest, beyond a budget.

A service that the hub starts. It looks once a minute and remembers what it saw in a file; an image
is used while there is a container of it, and when a start has fetched it. What it knows is a minute
behind; what it removes is looked at anew before, and the engine itself refuses to remove an image
that has a container.
"""

import logging
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
from docker.errors import APIError, NotFound
from docker.utils import kwargs_from_env

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.hub import fetched_images, own_images
from quaderno.hub.inside import ENGINE_ERRORS
from quaderno.hub.own_images import Here, Use
from quaderno.quantities import say_amount

_EVERY = 60  # seconds
_ENGINE_TIMEOUT = 300  # seconds; removing a large image takes time
log = logging.getLogger("quaderno.images")


def main() -> None:
    """Look for ever; an engine that does not answer is asked again."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # how the hub ends its services: without a word
    logging.basicConfig(format="[%(levelname)s %(asctime)s images] %(message)s", level=logging.INFO)
    config = quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))
    told: set[str] = set()
    while True:
        try:
            with docker.APIClient(
                version="auto", timeout=_ENGINE_TIMEOUT, **kwargs_from_env()
            ) as client:
                clean(config, client, time.time(), told)
        except ENGINE_ERRORS as error:
            log.warning("Images of people's own are not looked at: %s", error)
        time.sleep(_EVERY)


def clean(config: Config, client: docker.APIClient, now: float, told: set[str]) -> None:
    """One look at `now` (seconds since 1970), and the removal of what is too much.

    `told` are the images of which the log says already that they cannot be removed. Raises one of
    ENGINE_ERRORS.
    """
    here = look(config, client)
    file = own_images.register_file(config)
    fetched = list(fetched_images.come(config, client, now))
    register = {identifier: use for _, identifier, use in fetched} | read(file)
    register = own_images.after_look(register, here, now)
    _write(file, own_images.dump(register))
    for note, _, _ in fetched:
        note.unlink(missing_ok=True)
    # One that has just come gets its container before the next look.
    here = replace(here, used=here.used | {identifier for _, identifier, _ in fetched})
    catalogue = set(_catalogue(config, client))
    for identifier in own_images.surplus(register, here, catalogue, config.servers.own_images_size):
        use, size = register[identifier], here.sizes[identifier]
        try:
            client.remove_image(identifier)
        except APIError as error:
            _stays(use, error, told)
        else:
            days = (now - use.last) / 86400
            said = (use.reference, say_amount(size), days)
            log.info("Removed image %s (%s), not used for %.1f days", *said)


def look(config: Config, client: docker.APIClient) -> Here:
    """What the engine has. Containers come first: an image that appears later is not used."""
    containers = client.containers(all=True)
    images = client.images()
    return Here(
        sizes={image["Id"]: image["Size"] for image in images},
        from_registry=frozenset(image["Id"] for image in images if _digests(image)),
        used=frozenset(container["ImageID"] for container in containers),
        ours={
            container["ImageID"]: container["Image"]
            for container in containers
            if (container["Labels"] or {}).get(own_images.LABEL) == config.instance
        },
    )


def _digests(image: dict[str, list[str] | None]) -> list[str]:
    """Of the image in registries; the engine writes `<none>` for none."""
    return [each for each in image["RepoDigests"] or [] if not each.startswith("<none>")]


def _catalogue(config: Config, client: docker.APIClient) -> Iterator[str]:
    for image in config.servers.images:
        try:
            yield client.inspect_image(image.reference)["Id"]  # type: ignore[no-untyped-call]
        except NotFound:
            continue


def read(file: Path) -> dict[str, Use]:
    """The register in `file`; empty when there is none, or none that can be read."""
    try:
        return own_images.parse(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s is begun anew: %s", file, error)
        return {}


def _write(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


def _stays(use: Use, error: APIError, told: set[str]) -> None:
    """The engine refuses to remove what has another name, a new container, or an image upon it."""
    if use.reference not in told:
        log.warning("Image %s stays: %s", use.reference, error.explanation)
        told.add(use.reference)


if __name__ == "__main__":
    main()
