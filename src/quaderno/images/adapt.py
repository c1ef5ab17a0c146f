"""Makes an image for servers of one from elsewhere that has Python and pip."""

import tempfile
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from quaderno import contract
from quaderno.config import Config
from quaderno.images import build
from quaderno.images.build import Progress
from quaderno.images.source import ensure_source

_DOCKERFILE = Path(__file__).with_name("adapt") / "Dockerfile"


def adapt(config: Config, source: str, tag: str, progress: Progress) -> None:
    """Build the image `tag` of the image `source`: JupyterLab, JupyterHub of the hub's version and
    quaderno-server are added where they are missing. Raises HostError."""
    with closing(build.new_engine()) as engine:
        ensure_source(engine, source, progress)
    log = build.new_log(config)
    with tempfile.TemporaryDirectory(prefix="quaderno-image-") as scratch:
        context = Path(scratch, "context")
        write_context(context)
        arguments = {
            "SOURCE": source,
            "JUPYTERHUB": ".".join(version("jupyterhub").split(".")[:2]),
            "CONTRACT": contract.VERSION,
        }
        build.build(context, tag, arguments, log, progress)


def write_context(context: Path) -> None:
    """Gather in the new directory `context` what the Dockerfile takes from it."""
    context.mkdir()
    build.copy(_DOCKERFILE, context / "Dockerfile")
    build.copy(build.BASE / "etc", context / "etc")
    build.copy(build.origin("server"), context / "server")
