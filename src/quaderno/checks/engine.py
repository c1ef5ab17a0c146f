"""The container engine: it answers, the hub gets at it, and it builds images."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from quaderno import host
from quaderno.checks.finding import Finding, error, warning
from quaderno.config import Config
from quaderno.errors import HostError
from quaderno.images import host as images_host


def check_engine(_config: Config, answers: bool | None = None) -> Iterator[Finding]:
    """Servers are containers."""
    if host.engine_answers() if answers is None else answers:
        return
    if shutil.which("dockerd") and not os.environ.get("DOCKER_HOST"):
        yield warning("engine-stopped", "the container engine does not run", "up starts it")
    else:
        yield error("engine-missing", "no container engine answers", host.ENGINE_HINT)


def check_engine_group(_config: Config, socket: Path = host.ENGINE_SOCKET) -> Iterator[Finding]:
    """The hub uses the engine as a member of its socket's group."""
    if socket.exists() and socket.stat().st_gid == 0 and not os.environ.get("DOCKER_HOST"):
        yield error(
            "engine-group",
            f"{socket} belongs to root's group, which the hub must not join",
            'Give it a group of its own: `"group": "docker"` in /etc/docker/daemon.json',
        )


def check_image_builder(_config: Config) -> Iterator[Finding]:
    """The base image is built with the engine's command line."""
    try:
        images_host.docker_client()
    except HostError as failure:
        yield error("image-builder", failure.message, failure.hint)
