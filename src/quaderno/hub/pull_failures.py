"""Why an image could not be pulled: the engine's words -> cause, plain words, try again or not.

Pure. The engine passes on what its registry client said, in wordings that its versions share; the
first pattern that fits wins, so the particular ones come first.
"""

import re
from http import HTTPStatus

from quaderno.hub.failures import Cause

_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE


_LATER = "Start again in some minutes. If that does not help, tell your operator."

NOT_FOUND = Cause(
    "image_not_found",
    "The image {image} does not exist, or may not be pulled",
    "Check its name and tag, and whether it is public.",
)
DENIED = Cause(
    "image_denied",
    "The registry does not let this service pull the image {image}",
    "Ask the image's owner to make it public, or your operator for access.",
)
PLATFORM = Cause(
    "image_platform",
    "The image {image} is not made for this service's kind of processor or operating system",
    "Choose one that is, or build it for this kind.",
)
NO_SPACE = Cause(
    "image_no_space",
    "This service has no disk space left for the image {image}",
    "Choose an image of the catalogue, and tell your operator.",
    status=HTTPStatus.INSUFFICIENT_STORAGE,
)
MALFORMED = Cause(
    "image_malformed",
    "{image} is not the name of an image",
    "Enter it as for `docker pull`, in small letters and with its tag.",
)
NO_IMAGE = Cause(
    "image_no_image",
    "What the registry has under the name {image} is not a container image",
    "Check its name and tag.",
)
NO_REGISTRY = Cause(
    "image_no_registry",
    "The registry that the image {image} names does not exist",
    "Check the part of the name before the first slash.",
)
UNTRUSTED = Cause(
    "image_untrusted",
    "The registry of the image {image} cannot prove to this service that it is the right one",
    "Tell your operator that the engine does not trust the registry's certificate.",
)
BUSY = Cause(
    "image_rate_limit",
    "The registry limits how much may be pulled",
    "Start again later, or choose an image that is here already.",
    again=True,
    status=_UNAVAILABLE,
)
REGISTRY_FAILS = Cause(
    "image_registry_error",
    "The registry reports an error of its own",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
REGISTRY_SILENT = Cause(
    "image_registry_unreachable",
    "The registry does not answer",
    f"Check the image's name. {_LATER}",
    again=True,
    status=_UNAVAILABLE,
)
INTERRUPTED = Cause(
    "image_interrupted",
    "The download of the image was interrupted",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
STALLED = Cause(
    "image_stalled",
    "The download of the image has stopped moving",
    _LATER,
    again=True,
    status=HTTPStatus.GATEWAY_TIMEOUT,
)
ENGINE_SILENT = Cause(
    "image_engine_unreachable",
    "The container engine does not answer",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
# Unknown words of the engine about the registry: it costs little to try again.
UNKNOWN = Cause(
    "image_unknown",
    "The image {image} cannot be fetched from its registry",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
# Unknown words of the engine about the request itself.
REFUSED = Cause(
    "image_refused",
    "The container engine refused to fetch the image {image}",
    "Check its name and tag, or tell your operator.",
)

_PATTERNS = [
    (NO_SPACE, r"no space left on device|disk quota exceeded|not enough (?:disk )?space"),
    (NOT_FOUND, r"manifest unknown|name unknown|repository does not exist"),
    (BUSY, r"toomanyrequests|too many requests|\b429\b|rate limit|rate exceeded"),
    (MALFORMED, r"invalid (?:reference|tag) format|invalid checksum digest|not a valid repository"),
    (
        PLATFORM,
        r"no matching manifest|no match for platform|does not match the specified platform"
        r"|operating system .* cannot be used|image platform .* does not match",
    ),
    (
        NO_IMAGE,
        r"unsupported media ?type|media ?type .*(?:no longer supported|not supported|should be)"
        r"|invalid rootfs in image|encountered remote .*when fetching|manifest version 2, schema 1",
    ),
    (UNTRUSTED, r"x509:|tls: bad certificate|gave http response to https client"),
    # Of an image that names no registry: the name cannot be what is wrong.
    (REGISTRY_SILENT, r"lookup (?:[\w-]+\.)?docker\.io\b.*no such host"),
    (NO_REGISTRY, r"no such host"),
    (
        REGISTRY_SILENT,
        r"connection refused|i/o timeout|timeout exceeded|handshake timeout|context deadline"
        r"|no route to host|network is unreachable|server misbehaving|temporary failure"
        r"|dial tcp|request canceled|timed out|gateway time-?out|\b504\b",
    ),
    (
        REGISTRY_FAILS,
        r"unexpected http status:? 5\d\d|unexpected status(?: code)?.*\b5\d\d\b|\b50[0-3] "
        r"|unavailable|internal server error|bad gateway",
    ),
    (
        INTERRUPTED,
        r"\beof\b|connection reset|broken pipe|connection closed|use of closed network"
        r"|verification failed|digest mismatch|unexpected commit|context canceled|download failed",
    ),
    (NOT_FOUND, r"does not exist|not found"),
    (
        DENIED,
        r"unauthorized|denied|authentication required|no basic auth|forbidden|\b40[13]\b"
        r"|authorization failed",
    ),
]
_COMPILED = [(cause, re.compile(pattern)) for cause, pattern in _PATTERNS]


def cause_of(message: str, status: int | None = None) -> Cause:
    """The cause behind the engine's `message`.

    `status` is that of its answer; None for an error in the middle of the events.
    """
    words = message.lower()
    for cause, pattern in _COMPILED:
        if pattern.search(words):
            return cause
    if status == HTTPStatus.NOT_FOUND:
        return NOT_FOUND
    if status is not None and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return REFUSED
    return UNKNOWN
