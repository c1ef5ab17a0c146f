"""The image that the base image starts from: pulled, or made from Debian's packages.

Not every site reaches an image registry, but what installs Docker reaches Debian's packages.
"""

import shutil
import subprocess
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from quaderno.errors import HostError

PARENT = "debian:bookworm-slim"
# What the published slim image leaves out, too.
_EXCLUDED = ("doc", "groff", "info", "linda", "lintian", "locale", "man")


def ensure_parent(engine: docker.DockerClient, log: Path, scratch: Path) -> str:
    """Have PARENT in the engine; says how: "present", "pulled" or "made from Debian's packages".

    `log` receives what is printed meanwhile, `scratch` is an empty directory with room for
    200 MB. Raises HostError when neither a registry nor mmdebstrap yields it.
    """
    try:
        engine.images.get(PARENT)
        return "present"
    except ImageNotFound:
        pass
    try:
        engine.images.pull(PARENT)
        return "pulled"
    except APIError as error:
        _make(engine, log, scratch / "parent.tar", error.explanation or str(error))
        return "made from Debian's packages"


def _make(engine: docker.DockerClient, log: Path, archive: Path, why: str) -> None:
    program = shutil.which("mmdebstrap")
    if not program:
        raise HostError(
            f"{PARENT} cannot be pulled ({why}), nor made without mmdebstrap",
            "Install the packages mmdebstrap and debian-archive-keyring, "
            f"or bring {PARENT} with `docker load`",
        )
    exclusions = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _EXCLUDED]
    keep = "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    options = ["--variant=minbase", "--include=ca-certificates", *exclusions, keep]
    with log.open("ab") as output:
        made = subprocess.run(
            [program, *options, "bookworm", str(archive)], stdout=output, stderr=output, check=False
        )
    if made.returncode:
        raise HostError(
            f"mmdebstrap could not make {PARENT} from Debian's packages",
            f"Its output is in {log}; is Debian's package archive reachable?",
        )
    repository, tag = PARENT.split(":")
    engine.api.import_image_from_file(str(archive), repository=repository, tag=tag)
