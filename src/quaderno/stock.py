"""The images that servers run: the catalogue, and those that people brought."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import docker
from docker.errors import NotFound

from quaderno import contract, host, network
from quaderno.config import Config
from quaderno.hub import image_cleaning, own_images


@dataclass(frozen=True)
class Listed:
    """An image; `name` is its own in the catalogue. `size` is in bytes, None where it is not here,
    as is `contract`, the version that its label says ("" for none); `last_used` is ISO 8601, of
    those that people brought."""

    name: str
    reference: str
    present: bool
    size: int | None
    contract: str | None
    used_by: list[str]
    last_used: str | None


def listing(config: Config) -> list[Listed]:
    """The catalogue in its order, then what people brought, the last used first.

    Raises HostError when the engine does not answer.
    """
    with host.engine() as client:
        users = _users(client, config)
        catalogue = [
            (image.name, image.reference, image.reference, None) for image in config.servers.images
        ]
        found = [_listed(client, users, *each) for each in catalogue]
        here = image_cleaning.look(config, client)
        seen = image_cleaning.read(own_images.register_file(config))
        theirs = own_images.after_look(seen, here, datetime.now(UTC).timestamp())
        offered = {image.reference for image in config.servers.images}
        for identifier, use in sorted(theirs.items(), key=lambda item: -item[1].last):
            if use.reference not in offered:
                found.append(_listed(client, users, "", use.reference, identifier, use.last))
    return found


def _users(client: docker.APIClient, config: Config) -> Mapping[str, set[str]]:
    """By the image's identifier, the people whose servers run it."""
    users = defaultdict(set)
    for container in client.containers(filters={"label": f"{network.LABEL}={config.instance}"}):
        users[container["ImageID"]].add(container["Labels"]["quaderno.user"])
    return users


def _listed(
    client: docker.APIClient,
    users: Mapping[str, set[str]],
    name: str,
    reference: str,
    identifier: str,
    last: float | None,
) -> Listed:
    try:
        image: dict[str, Any] = client.inspect_image(identifier)  # type: ignore[no-untyped-call]
    except NotFound:
        return Listed(name, reference, False, None, None, [], None)
    version = (image["Config"].get("Labels") or {}).get(contract.LABEL, "")
    when = None if last is None else datetime.fromtimestamp(last, UTC).isoformat("T", "seconds")
    used_by = sorted(users.get(image["Id"], ()))
    return Listed(name, reference, True, image["Size"], version, used_by, when)
