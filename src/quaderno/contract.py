"""What an image must keep to be a person's server: the contract of hub and images, as data.

Pure. The hub starts containers by it, `quaderno image check` judges images by it, and
docs/user/images.md tells it to people who make images. A change that breaks images which conformed
is a new VERSION.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from quaderno.quantities import say_amount

VERSION = "1"
LABEL = "quaderno.contract"
PROGRAM = "quaderno-singleuser"
PORT = 8888
USER = "1000:100"
HOME = "/home/jovyan"
WORKAREA = "/workarea"
# Where people's files are bound: what an image has there is hidden.
BOUND = (f"{WORKAREA}/cloud_storage", f"{WORKAREA}/local")
WRITABLE = (HOME, WORKAREA, *BOUND)
LARGE = 10 * 2**30  # bytes

ADAPT = "Adapt it: quaderno image adapt IMAGE --tag NAME"
REBUILD = "Build it anew from this version's base image"
_ROOT = ("", "0", "root")


@dataclass(frozen=True)
class Point:
    """One part of the contract, what was found, and what to do where it is not kept.

    With an `error` no server starts, or one that is not safe; with a `warning` it lacks something.
    """

    id: str
    level: Literal["ok", "warning", "error"]
    found: str
    hint: str = ""


@dataclass(frozen=True)
class Observed:
    """A container that was started as the hub would, when it answered or did not in time.

    `refused` is the engine's reason not to start it, `ended` the exit status of one that ended,
    `status` and `open_status` are those of HTTP answers: of `api`, and of a person's files to
    somebody who has not logged in. `listening` are TCP ports, without those that are `inside`: on
    loopback only.
    """

    refused: str = ""
    ended: int | None = None
    out_of_memory: bool = False
    last_line: str = ""
    waited: float = 0.0  # seconds
    status: int | None = None
    open_status: int | None = None
    jupyterhub: str | None = None
    listening: frozenset[int] = frozenset()
    inside: frozenset[int] = frozenset()
    unwritable: tuple[str, ...] | None = ()
    has_server_package: bool = True


def kept(points: Iterable[Point]) -> bool:
    """Whether no point is an error."""
    return all(point.level != "error" for point in points)


# --- what the image says of itself


def of_image(attributes: Mapping[str, Any], architecture: str) -> list[Point]:
    """Points of an image, from the engine's description of it (Engine API, ImageInspect).

    `architecture` is the engine's own, as Go names them (`amd64`).
    """
    config = attributes.get("Config") or {}
    return [
        _architecture(attributes.get("Architecture") or architecture, architecture),
        _version((config.get("Labels") or {}).get(LABEL, "")),
        _command(config.get("Cmd") or []),
        _user(config.get("User") or ""),
        _size(attributes.get("Size") or 0),
    ]


def _architecture(found: str, wanted: str) -> Point:
    if found == wanted:
        return Point("architecture", "ok", found)
    hint = f"Build it for this machine: docker build --platform linux/{wanted}"
    return Point("architecture", "error", f"for {found}, but this machine is {wanted}", hint)


def _version(found: str) -> Point:
    if found == VERSION:
        return Point("contract", "ok", f"version {VERSION}")
    if not found:
        return Point(
            "contract", "warning", f"no label {LABEL}: not made from the base image", ADAPT
        )
    return Point("contract", "error", f"version {found}, but this hub needs {VERSION}", REBUILD)


def _command(found: list[str]) -> Point:
    if not found:
        hint = f'Let the Dockerfile end with CMD ["{PROGRAM}"]'
        return Point("command", "error", "no program to start (CMD)", hint)
    return Point("command", "ok", " ".join(found))


def _user(found: str) -> Point:
    if found.partition(":")[0] in _ROOT:
        hint = "Let the Dockerfile end with USER 1000; give what people change to that user"
        return Point("user", "warning", f"made for root, but servers run as {USER}", hint)
    return Point("user", "ok", found)


def _size(found: int) -> Point:
    if found <= LARGE:
        return Point("size", "ok", say_amount(found))
    hint = "The first start takes long. Leave out what is not needed; remove caches in the same RUN"
    return Point("size", "warning", f"{say_amount(found)}, more than {say_amount(LARGE)}", hint)


# --- what its server does


def of_server(seen: Observed, jupyterhub: str) -> list[Point]:
    """Points of a server that was started; `jupyterhub` is the hub's version."""
    started = _started(seen)
    if started.level == "error":
        return [started]
    return [
        started,
        _closed(seen),
        _jupyterhub(seen.jupyterhub, jupyterhub),
        _directories(seen.unwritable),
        _server_package(seen.has_server_package),
    ]


def _started(seen: Observed) -> Point:
    if seen.refused:
        return Point("start", "error", f"the engine refuses: {seen.refused}", _INSTALL)
    if seen.out_of_memory:
        hint = "Offer more memory by default (servers.memory), or load less at the start"
        return Point("start", "error", "it needs more memory than servers get", hint)
    if seen.ended is not None:
        said = f": {seen.last_line}" if seen.last_line else " without a word"
        return Point("start", "error", f"it ended with code {seen.ended}{said}", _INSTALL)
    if seen.status is None:
        return _silent(seen)
    if seen.status != 200:
        hint = f"Start {PROGRAM}, which reads JUPYTERHUB_SERVICE_URL; other servers do not"
        return Point("start", "error", f"it answers {seen.status} below /user/<name>/", hint)
    return Point("start", "ok", f"answers on port {PORT} after {seen.waited:.1f} s")


_INSTALL = f'Install what {PROGRAM} needs and let the Dockerfile end with CMD ["{PROGRAM}"]'


def _silent(seen: Observed) -> Point:
    if others := seen.listening - {PORT}:
        where = f"it listens on port {_ports(others)}"
    elif seen.inside:
        where = f"it listens on 127.0.0.1 only, on port {_ports(seen.inside)}"
    else:
        where = "nothing listens"
    hint = f"Listen on 0.0.0.0:{PORT}, as JUPYTERHUB_SERVICE_URL says: {PROGRAM} does"
    found = f"no answer on port {PORT} within {seen.waited:.0f} s; {where}"
    return Point("port", "error", found, hint)


def _ports(numbers: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))


def _closed(seen: Observed) -> Point:
    if seen.open_status == 200:
        hint = f"Start {PROGRAM}: nothing else asks the hub who somebody is"
        return Point("login", "error", "anybody may read the person's files", hint)
    return Point("login", "ok", "only who has logged in")


def _jupyterhub(found: str | None, wanted: str) -> Point:
    if found is None:
        hint = f"Start {PROGRAM}, with JupyterHub {wanted}"
        return Point("jupyterhub", "error", "its server is not JupyterHub's", hint)
    if found.partition(".")[0] != wanted.partition(".")[0]:
        hint = f"pip install 'jupyterhub=={wanted.partition('.')[0]}.*'"
        return Point("jupyterhub", "warning", f"version {found}, but the hub has {wanted}", hint)
    return Point("jupyterhub", "ok", f"version {found}")


def _directories(unwritable: tuple[str, ...] | None) -> Point:
    if unwritable is None:
        hint = "Install a shell: terminals need one, too"
        return Point("directories", "warning", "there is no shell to look with", hint)
    if unwritable:
        hint = f"chown {USER} {' '.join(unwritable)}"
        found = f"people cannot write to {', '.join(unwritable)}"
        return Point("directories", "warning", found, hint)
    return Point("directories", "ok", "writable")


def _server_package(found: bool) -> Point:
    if found:
        return Point("quaderno-server", "ok", "installed")
    lacks = "no quaderno-server: no S3 keys, no state of storage, nothing saved at a stop"
    return Point("quaderno-server", "warning", lacks, ADAPT)
