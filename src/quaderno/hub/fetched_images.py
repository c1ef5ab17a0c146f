"""Images that a start fetches: noted before, for one that is cancelled may leave an image behind.

The clean-up knows an image by its container, which such a start does not come to. Notes are files,
one an image: the hub writes them, the clean-up takes them away once the image is here.
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
from docker.errors import NotFound, NullResource

from quaderno.config import Config
from quaderno.hub import pulling
from quaderno.hub.own_images import Use
from quaderno.hub.progress import Progress

_UNFINISHED = ".new"
_FORGOTTEN_AFTER = 86400  # seconds; no fetch lasts as long


async def pull(
    config: Config, client: docker.APIClient, image: str, steps: Progress, log: Any
) -> None:
    """Note that `image` may come to be here, and pull it. Raises StartFailure."""
    try:
        note(config, image)
    except OSError as error:
        log.warning("The image %s may stay after a start that is cancelled: %s", image, error)
    steps.fetched = True
    await pulling.pull(client, image, steps, log, stall_timeout=config.servers.stall_timeout)


def note(config: Config, image: str) -> None:
    """Raises OSError. The catalogue, which stays, needs no note, nor does who never cleans up."""
    offered = {entry.reference for entry in config.servers.images}
    if not config.servers.own_images_size or image in offered:
        return
    directory = _directory(config)
    directory.mkdir(exist_ok=True)
    name = hashlib.sha256(image.encode()).hexdigest()
    new = directory / f"{name}{_UNFINISHED}"  # an empty note, of a full disk, would say nothing
    try:
        new.write_text(image, encoding="utf-8")
        new.replace(directory / name)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def come(config: Config, client: docker.APIClient, now: float) -> Iterator[tuple[Path, str, Use]]:
    """Of each image that was noted and is here: the note, the image's identifier, and its use.

    What has not come within a day is forgotten. One note that the engine or nobody can read keeps
    no other from being looked at.
    """
    for path in _directory(config).glob("*"):
        with suppress(FileNotFoundError, UnicodeDecodeError, NullResource, NotFound):
            noted, content = path.stat().st_mtime, path.read_bytes()
            if now - noted > _FORGOTTEN_AFTER:
                path.unlink()
            image = content.decode()
            identifier = client.inspect_image(image)["Id"]  # type: ignore[no-untyped-call]
            yield path, identifier, Use(image, noted)


def _directory(config: Config) -> Path:
    return config.dir / "hub" / "fetched-images"
