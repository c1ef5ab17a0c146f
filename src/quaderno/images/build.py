"""Build the base image on this machine's engine, once for each state of its sources.

The image carries the digest of what it was built from as a label: building it again when nothing
changed does nothing, and whatever changed is in the next build.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from quaderno import __version__
from quaderno.config import Config
from quaderno.errors import HostError
from quaderno.images import host
from quaderno.images.parent import ensure_parent

Progress = Callable[[str], None]
"""Receives one line for each step."""

SOURCE_LABEL = "quaderno.source"
BASE = Path(__file__).parent / "base"
_CHECKOUT = Path(__file__).parents[3]
_TURN = Path("/run/quaderno-image-build.lock")


@dataclass(frozen=True)
class Variant:
    """What an image has: Python packages, a description, and more of Debian's packages."""

    lock: str
    about: str
    packages: str = ""


# The base image and its smaller sister.
VARIANTS = {
    "base": Variant("image.lock", "JupyterLab with scientific Python", "g++ make python3-dev"),
    "minimal": Variant("minimal.lock", "JupyterLab"),
}
_DEVELOPED = {
    "image.lock": "requirements/image.lock",
    "minimal.lock": "requirements/minimal.lock",
    "server": "server",
}
_STAGES = {
    "system": "installing Debian packages",
    "python": "installing JupyterLab and scientific Python",
    "base": "adding Quaderno's settings and examples",
}
# A stage that has no name is called so by some clients, and not at all by others.
_STEP = re.compile(r"#\d+ \[(?:(\S+) +)?(\d+/\d+)\] (.*)")
_STEP_WIDTH = 100  # characters
# What BuildKit prints and nobody needs to know of a failure.
_NOISE = re.compile(r"(#\d+ (sha256:.*|DONE .*|CACHED|transferring .*|extracting .*)|-+)?")
_NO_PARENT = re.compile(r" > \[internal\] load metadata for docker\.io/quaderno/(base|minimal):")
_LAST_LINES = 15


def build_base(config: Config, progress: Progress, variant: str = "base") -> None:
    """Have the catalogue's base image in the engine, built from the sources of this version; or
    another of VARIANTS.

    The whole output goes to `image-build.log` in the instance's logs. Raises HostError when the
    engine does not answer, no client can build, or the build fails.
    """
    reference = base_reference(config, variant)
    engine = new_engine()
    with _alone(), tempfile.TemporaryDirectory(prefix="quaderno-image-") as scratch:
        context = Path(scratch, "context")
        write_context(context, variant)
        source = digest(context)
        if image_label(engine, reference, SOURCE_LABEL) == source:
            progress(f"image {reference} is up to date")
            return
        log = new_log(config)
        say = _with_elapsed(progress)
        say(f"image {reference}: fetching its parent image")
        say(f"parent image: {ensure_parent(engine, log, Path(scratch))}")
        made_of = VARIANTS[variant]
        arguments = {"VERSION": __version__, "SOURCE": source, "ABOUT": made_of.about}
        arguments["PACKAGES"] = made_of.packages
        build(context, reference, arguments, log, say)
        say(f"image {reference} is built")


@contextmanager
def _alone() -> Iterator[None]:
    """Of several instances on this machine that build at once, one does, and the others find it
    done: they wait here. Raises HostError."""
    try:
        turn = _TURN.open("w")
    except OSError as error:
        raise HostError(
            f"{_TURN} cannot be opened: {error.strerror}", "Run it with sudo"
        ) from error
    with turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield


def new_log(config: Config) -> Path:
    """The file for a build's whole output, empty."""
    log = config.logs / "image-build.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    return log


def base_reference(config: Config, variant: str = "base") -> str:
    """The reference of the catalogue's image named `variant`, else of this version's own."""
    named = (image.reference for image in config.servers.images if image.name == variant)
    return next(named, f"quaderno/{variant}:{__version__}")


def image_label(engine: docker.DockerClient, reference: str, label: str) -> str | None:
    """The image's label, empty when it has none; None when there is no such image."""
    try:
        return str(engine.images.get(reference).labels.get(label, ""))
    except ImageNotFound:
        return None


def new_engine() -> docker.DockerClient:
    """A client of the container engine. Raises HostError when it does not answer."""
    try:
        engine = docker.from_env()
        engine.ping()
    except DockerException as error:
        raise HostError(
            "The Docker engine does not answer", "Start it; `docker info` shows whether it runs"
        ) from error
    return engine


def _with_elapsed(progress: Progress) -> Progress:
    start = time.monotonic()
    return lambda line: progress(f"[{time.monotonic() - start:3.0f} s] {line}")


# --- what the image is made of


def write_context(context: Path, variant: str = "base") -> None:
    """Gather in the new directory `context` what the Dockerfile copies."""
    context.mkdir()
    for name in ("Dockerfile", "etc"):
        copy(BASE / name, context / name)
    copy(origin(VARIANTS[variant].lock), context / "image.lock")
    copy(origin("server"), context / "server")


def origin(name: str) -> Path:
    """Where a lock, or the distribution for servers, is: below `base/` in an installed package,
    in a checkout where they are developed."""
    packaged = BASE / name
    return packaged if packaged.exists() else _CHECKOUT / _DEVELOPED[name]


def copy(origin: Path, target: Path) -> None:
    """Copy with modes that do not depend on the umask of whoever installed the sources."""
    if origin.is_file():
        shutil.copyfile(origin, target)
        target.chmod(0o644)
        return
    target.mkdir()
    target.chmod(0o755)
    for child in origin.iterdir():
        if child.name != "__pycache__":
            copy(child, target / child.name)


def digest(context: Path) -> str:
    """SHA-256 of all names and contents below `context`."""
    total = hashlib.sha256()
    for path in sorted(path for path in context.rglob("*") if path.is_file()):
        name = path.relative_to(context).as_posix()
        total.update(f"{name}\0{path.stat().st_size}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


# --- building


def build(
    context: Path, reference: str, arguments: dict[str, str], log: Path, progress: Progress
) -> None:
    """Build the Dockerfile in `context` and tag the image; the output is appended to `log`.

    `progress` is told of each stage and, on failure, the last lines of output. Raises HostError.
    """
    client = host.docker_client()
    with _secrets() as secrets:
        # The host's network: its resolver and proxies may listen on its loopback only.
        command = [str(client), "build", "--progress=plain", "--network=host"]
        command += [*secrets, *host.proxy_arguments()]
        command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
        command += [f"--tag={reference}", str(context)]
        last_lines, code = _run(command, log, progress)
    if code:
        for line in last_lines:
            progress(line)
        raise HostError(f"The image {reference} could not be built", _remedy(last_lines, log))


def _remedy(last_lines: list[str], log: Path) -> str:
    if any(_NO_PARENT.match(line) for line in last_lines):
        return (
            "Its Dockerfile starts FROM a base image of another version, which is not here: "
            "`quaderno image list` shows this one's"
        )
    return (
        f"The lines above end with the reason, all output is in {log}. "
        "Are the package archives reachable, is there disk space?"
    )


@contextmanager
def _secrets() -> Iterator[list[str]]:
    """The client's arguments for what builds may read, and no image may hold."""
    with tempfile.TemporaryDirectory(prefix="quaderno-secrets-") as directory:
        files = {"ca.pem": host.ca_bundle()}
        for name, text in {"pip.conf": host.pip_conf(), "apt.conf": host.apt_conf()}.items():
            files[name] = Path(directory, name)
            files[name].write_text(text, encoding="utf-8")
        yield [f"--secret=id={name},src={path}" for name, path in files.items()]


def _run(command: list[str], log: Path, progress: Progress) -> tuple[list[str], int]:
    """The last lines of output and the exit status of a build."""
    last_lines: deque[str] = deque(maxlen=_LAST_LINES)
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    with (
        log.open("a", encoding="utf-8") as output,
        subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in _announced(iter(process.stdout or ()), progress):
            output.write(line)
            output.flush()
            if not _NOISE.fullmatch(line.rstrip()):
                last_lines.append(_shortened(line.rstrip()))
    return list(last_lines), process.returncode


def _shortened(line: str) -> str:
    """Without the middle of a command that is repeated whole."""
    if len(line) <= 2 * _STEP_WIDTH:
        return line
    return f"{line[:_STEP_WIDTH]} ... {line[-_STEP_WIDTH:]}"


def _announced(lines: Iterator[str], progress: Progress) -> Iterator[str]:
    """The same lines, after telling of each of our stages when its first step begins, and of each
    step of other people's."""
    seen = set()
    for line in lines:
        if step := _STEP.match(line):
            said = _STAGES.get(step[1] or "", f"step {step[2]}: {step[3].strip()[:_STEP_WIDTH]}")
            if said not in seen:
                seen.add(said)
                progress(said)
        yield line
