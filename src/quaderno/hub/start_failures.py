"""Why a container could not be made, or its server did not answer: cause, plain words, what to do.

Pure. The engine's words are those of Docker 20.10 to 29; the first pattern that fits wins. Images
that must be fetched first have their causes in `pull_failures`.
"""

import re
from http import HTTPStatus

from quaderno.hub.failures import Cause

_UNAVAILABLE = HTTPStatus.SERVICE_UNAVAILABLE
_LATER = "Start again in some minutes. If that does not help, tell your operator."
_OTHER_IMAGE = "Choose another image, or build it from the one that this service offers."

# --- the image
NO_PROGRAM = Cause(
    "no_program",
    "The image {image} says no program to start, so it is not one for notebooks",
    _OTHER_IMAGE,
)
PROGRAM_MISSING = Cause(
    "program_missing",
    "The image {image} lacks the program that it says to start",
    _OTHER_IMAGE,
)
ARCHITECTURE = Cause(
    "architecture",
    "The image {image} is made for another kind of processor than this service has",
    "Choose another image, or build it for this kind.",
)
CRASHED = Cause(
    "crashed",
    "The image's server program ended with code {code} instead of starting",
    "Its last lines say why. Choose another image, or have this one mended.",
)
OUT_OF_MEMORY = Cause(
    "out_of_memory",
    "The server needed more memory than it was given while starting ({limit})",
    "Choose more memory.",
)
SLOW = Cause(
    "slow",
    "The server started, but for {seconds} seconds it neither answered nor did anything",
    "Start again. If it stays so, choose another image: this one may not be for notebooks.",
    later=True,
    status=HTTPStatus.GATEWAY_TIMEOUT,
)
NO_ANSWER = Cause(
    "no_answer",
    "The server works, but has not answered in {seconds} seconds",
    "Start again with more CPUs, or choose another image: this one may not be for notebooks.",
    later=True,
    status=HTTPStatus.GATEWAY_TIMEOUT,
)
# --- this machine
TOO_LITTLE_MEMORY = Cause(
    "not_enough_memory",
    "This machine has no memory left for a server as large as you chose",
    "Choose less memory, or start again later.",
    later=True,
    status=_UNAVAILABLE,
)
NO_ROOM = Cause(
    "no_room",
    "There is no room for this server now: {why}",
    "Choose less, or choose to start when there is room.",
    later=True,
    status=_UNAVAILABLE,
)
NO_GPU = Cause(
    "no_gpu",
    "There is no GPU for this server now: {why}",
    "Choose fewer, or choose to start when there is room.",
    later=True,
    status=_UNAVAILABLE,
)
GPU_REFUSED = Cause(
    "gpu_refused",
    "The container engine cannot give this machine's GPUs to servers",
    "Start without a GPU, and tell your operator.",
    status=_UNAVAILABLE,
)
LINE_FULL = Cause(
    "line_full",
    "There is no room for this server now, and {waiting} starts wait for some already",
    "Choose less, or start again later.",
    later=True,
    status=_UNAVAILABLE,
)
WAITED = Cause(
    "waited",
    "No room came free for this server in {minutes} minutes",
    "Choose less, or start again later.",
    later=True,
    status=_UNAVAILABLE,
)
NO_SPACE = Cause(
    "no_space",
    "This machine has no disk space left for your server",
    "Tell your operator. Your files in cloud_storage are not affected.",
    later=True,
    status=HTTPStatus.INSUFFICIENT_STORAGE,
)
NO_PLACE = Cause(
    "no_place",
    "All places for servers on this machine are taken",
    "Start again when others have stopped theirs.",
    later=True,
    status=_UNAVAILABLE,
)
STORAGE_UNBOUND = Cause(
    "storage_unbound",
    "The directories of your files could not be connected to your server",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
AGENT_SILENT = Cause(
    "agent_unreachable",
    "The storage agent of this machine does not answer",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
ENGINE_SILENT = Cause(
    "engine_unreachable",
    "The container engine does not answer",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
ENGINE_FAILS = Cause(
    "engine_error",
    "The container engine reports an error of its own",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
ENGINE_RESTARTED = Cause(
    "engine_restarted",
    "The container engine was restarted meanwhile",
    _LATER,
    again=True,
    status=_UNAVAILABLE,
)
ENGINE_REFUSED = Cause(
    "engine_refused",
    "The container engine refused to start this server",
    "Choose other options, or tell your operator.",
)
# --- the service
UNKNOWN = Cause(
    "unknown",
    "Something went wrong that this service has no name for",
    "Start again. If that does not help, tell your operator the reference.",
    later=True,
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
)

_EXEC_FORMAT = re.compile(r"exec format error", re.IGNORECASE)
_PATTERNS = [
    (NO_SPACE, r"no space left on device|disk quota exceeded"),
    (ARCHITECTURE, r"exec format error"),
    (
        GPU_REFUSED,
        r"could not select device driver|cdi device injection failed|unresolvable cdi"
        r"|nvidia-container-|failed to inject cdi",
    ),
    (TOO_LITTLE_MEMORY, r"cannot allocate memory|not enough memory|out of memory"),
    # Before the program: these words have "no such file" in them, too.
    (
        STORAGE_UNBOUND,
        r"bind source path|creating mount source path|endpoint is not connected"
        r"|stale (?:nfs )?file handle|error mounting",
    ),
    (
        PROGRAM_MISSING,
        r"executable file not found|exec: .*(?:no such file|permission denied|is a directory)"
        r"|unable to start container process.*no such file",
    ),
]
_COMPILED = [(cause, re.compile(pattern)) for cause, pattern in _PATTERNS]
# What another try finds changed: a name whose owner is being removed, a network that was.
_PASSING = (HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND)
_NO_SUCH_PROGRAM = (126, 127)  # exit status, as of a shell
# How containers end when their engine does: by SIGTERM, SIGKILL, or unseen.
_OF_AN_ENGINE = (0, 137, 143, 255)


def refused(message: str, status: int) -> Cause:
    """The cause behind the engine's refusal to make or start a container."""
    words = message.lower()
    for cause, pattern in _COMPILED:
        if pattern.search(words):
            return cause
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _PASSING:
        return ENGINE_FAILS
    return ENGINE_REFUSED


def ended(code: int, *, out_of_memory: bool, lines: str, interrupted: bool) -> Cause:
    """The cause behind the end of a container with exit status `code`, before its server answered.

    `interrupted`: the engine was away meanwhile.
    """
    if out_of_memory:
        return OUT_OF_MEMORY
    if _EXEC_FORMAT.search(lines):
        return ARCHITECTURE
    if code in _NO_SUCH_PROGRAM:
        return PROGRAM_MISSING
    if interrupted and code in _OF_AN_ENGINE:
        return ENGINE_RESTARTED
    return CRASHED
