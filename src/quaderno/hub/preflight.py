"""What is known of an image of one's own before a container of it starts; pure.

The engine's words about an image, here or at its registry, become a finding: a level and one
sentence for the person. What cannot be known now is a warning, for the start may still succeed.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from quaderno import contract
from quaderno.config import Config
from quaderno.errors import OptionsError
from quaderno.hub import options, pull_failures, start_failures
from quaderno.hub.failures import Cause
from quaderno.quantities import say_amount

CONTRACT = Cause(
    "image_contract",
    "The image {image} is made for another version of this service ({version}, where {needed} is"
    " needed)",
    "Build it again from the base image.",
)
_DOCKER_HUB = "docker.io"
_WILDCARD = re.compile(r"[*?\[]")

Level = Literal["ok", "warning", "refused"]


@dataclass(frozen=True)
class Finding:
    """What is said of an image; `size` in bytes, where it is known.

    `cause` is the id of the failure that a start would end with, when it is refused.
    """

    level: Level
    message: str
    size: int | None = None
    cause: str = ""


@dataclass(frozen=True)
class Platform:
    """Operating system and processor, as Go names them: `linux`, `amd64`."""

    os: str
    architecture: str


CATALOGUE = Finding("ok", "This image is in the catalogue.")
NOT_ASKED = Finding(
    "warning",
    "This image is not on this service yet, and its registry is asked only when the server starts.",
)
NO_ANSWER = Finding(
    "warning", "Whether this image exists cannot be found out now. The start tries it anyway."
)


def wanted(body: Any) -> str:
    """The image that the body of a request names. Raises OptionsError."""
    if not isinstance(body, dict) or body.keys() != {"image"} or not isinstance(body["image"], str):
        raise OptionsError('The body must be {"image": "<reference>"}.')
    return body["image"].strip()


def allowed(config: Config, image: str, groups: Collection[str] = ()) -> Finding | None:
    """What the configuration alone says of `image` to a member of `groups`; None when the engine
    is to be asked."""
    try:
        reference = options.permitted(config, image, groups)
    except OptionsError as error:
        return Finding("refused", error.message, cause="options")
    catalogue = {entry.reference for entry in config.servers.images}
    return CATALOGUE if reference in catalogue else None


# --- which registries are asked


def registry_of(reference: str) -> str:
    """The host, and the port if any, that the engine asks about `reference`.

    As github.com/distribution/reference splits it: capitals make the first part a host, too.
    """
    host, slash, _ = reference.partition("/")
    if not slash or not (set(".:") & set(host) or host == "localhost" or host != host.lower()):
        return _DOCKER_HUB
    host = host.lower()
    return _DOCKER_HUB if host == f"index.{_DOCKER_HUB}" else host


def may_be_asked(config: Config, reference: str) -> bool:
    """Whether the registry is one that the operator has named.

    Others are not asked while somebody types: the answers would tell which hosts and ports the
    service reaches.
    """
    servers = config.servers
    named = [entry.reference for entry in servers.images]
    named += [pattern for pattern in servers.own_images if not _any_registry(pattern)]
    return registry_of(reference) in {*servers.registries, *map(registry_of, named)}


def _any_registry(pattern: str) -> bool:
    """Whether the part of `pattern` that names the registry is open."""
    return bool(_WILDCARD.search(pattern.partition("/")[0]))


# --- what the engine says


def of_local(
    image: str, found: Mapping[str, Any], platform: Platform, expected: str = ""
) -> Finding:
    """Of an image that the engine has; `found` is its answer to an inspection of it, `expected`
    says how long a start takes, if that is known.

    The contract judges, as `quaderno image check` has it; the words are for whoever chooses.
    """
    levels = {point.id: point.level for point in contract.of_image(found, platform.architecture)}
    its = Platform(str(found.get("Os", "")), str(found.get("Architecture", "")))
    size = found.get("Size")
    if levels["architecture"] == "error" or not _fits(its, platform):
        return _other_platform(image, {its}, platform)
    if levels["command"] == "error":
        return _refused(start_failures.NO_PROGRAM, size, image=image)
    here = f"This image is on this service already{_in_words(size)}"
    if levels["contract"] == "ok":
        return Finding("ok", f"{here}. {expected or 'Nothing is to be downloaded.'}", size)
    if levels["contract"] == "warning":
        unlike = "It is not made from the base image, so it may not start, or lack something."
        return Finding("warning", f"{here}. {unlike}", size)
    version = str(found["Config"]["Labels"][contract.LABEL])
    return _refused(CONTRACT, size, image=image, version=version[:20], needed=contract.VERSION)


def of_registry(image: str, found: Mapping[str, Any], platform: Platform, expected: str) -> Finding:
    """Of an image that its registry has; `found` is the engine's answer about it."""
    offered = {
        Platform(str(one.get("os", "")), str(one.get("architecture", "")))
        for one in found.get("Platforms") or ()
    }
    if offered and not any(_fits(one, platform) for one in offered):
        return _other_platform(image, offered, platform)
    return Finding(
        "ok",
        f"This image is at its registry. {expected} What is inside shows only then.",
    )


def of_refusal(image: str, message: str, status: int) -> Finding:
    """Of an image about which the engine or the registry has only `message` to say."""
    cause = pull_failures.cause_of(message, status)
    if cause.again:
        return NO_ANSWER
    return _refused(cause, image=image)


def _refused(cause: Cause, size: int | None = None, **about: object) -> Finding:
    return Finding("refused", f"{cause.says(**about)}. {cause.advice}", size, cause.id)


def _fits(its: Platform, platform: Platform) -> bool:
    """Whether it runs here; what an image does not say is not held against it."""
    return its.os in ("", platform.os) and its.architecture in ("", platform.architecture)


def _other_platform(image: str, offered: set[Platform], platform: Platform) -> Finding:
    names = sorted({one.architecture for one in offered} - {"", "unknown"}) or ["another"]
    return Finding(
        "refused",
        f"The image {image} is made for processors of kind {', '.join(names)[:80]}; this service"
        f" has {platform.architecture}. {start_failures.ARCHITECTURE.advice}",
        cause=start_failures.ARCHITECTURE.id,
    )


def _in_words(size: int | None) -> str:
    return "" if size is None else f" ({say_amount(size)})"
