"""The image that one for servers is made of: it must come, fit this machine, and have Python.

Asked before the build, whose output would tell of it in the middle of much else.
"""

import re
from collections.abc import Mapping
from typing import Any

import docker
from docker.errors import APIError, ImageNotFound

from quaderno.errors import HostError
from quaderno.images.build import Progress

_PYTHON = (3, 10)  # JupyterHub's and JupyterLab's own need
_PROBE = "import pip, sys; print(*sys.version_info[:2])"
_ELSEWHERE = "Take one that has them, such as python:3.12-slim, or install them in a Dockerfile"


def ensure_source(engine: docker.DockerClient, reference: str, progress: Progress) -> None:
    """Have the image `reference` here, pulled if need be. Raises HostError when it cannot be had,
    is for another architecture, or lacks a Python that is new enough, or its pip."""
    found = _attributes(engine, reference, progress)
    wanted = engine.version()["Arch"]
    if found.get("Architecture", wanted) != wanted:
        raise HostError(
            f"the image {reference} is for {found['Architecture']}, but this machine is {wanted}",
            f"Bring the one for this machine: docker pull --platform linux/{wanted} {reference}",
        )
    python = _python(engine, reference)
    if python < _PYTHON:
        has, needed = (".".join(map(str, version)) for version in (python, _PYTHON))
        raise HostError(
            f"the image {reference} has Python {has}, but JupyterHub needs {needed} or newer",
            _ELSEWHERE,
        )


def _attributes(
    engine: docker.DockerClient, reference: str, progress: Progress
) -> Mapping[str, Any]:
    try:
        return engine.images.get(reference).attrs
    except ImageNotFound:
        progress(f"Fetching {reference}")
    try:
        return engine.images.pull(reference).attrs
    except APIError as error:
        raise HostError(
            f"the image {reference} is not on this machine and cannot be pulled: "
            f"{error.explanation or error}",
            "Correct its name, or bring it with `docker load`",
        ) from error


def _python(engine: docker.DockerClient, reference: str) -> tuple[int, ...]:
    """The version of `python3`, which has pip."""
    container = engine.containers.create(
        reference, ["-c", _PROBE], entrypoint="python3", network_mode="none"
    )
    try:
        container.start()
        container.wait()
        said = container.logs(stderr=False).decode(errors="replace").splitlines()
    except (APIError, OSError):  # there is no such program, or it does not end
        said = []
    finally:
        container.remove(force=True, v=True)
    # An image may have said something before.
    found = re.fullmatch(r"(\d+) (\d+)", said[-1], re.ASCII) if said else None
    if not found:
        raise HostError(f"the image {reference} has no Python 3 with pip", _ELSEWHERE)
    return tuple(map(int, found.groups()))
