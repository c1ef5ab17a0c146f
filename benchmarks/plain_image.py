"""The base image without what makes it start quickly: no compiled bytecode, all extensions on and
nothing of them kept by browsers, the optional format checker installed, JupyterHub's own program.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker

from quaderno.config import Config
from quaderno.images import build

PROGRAM = "jupyterhub-singleuser"
_PLAIN = "quaderno-bench/plain:1"
_DOCKERFILE = """\
FROM {base}
RUN --mount=type=secret,id=pip.conf,uid=1000 --mount=type=secret,id=ca.pem,uid=1000 \\
    PIP_CONFIG_FILE=/run/secrets/pip.conf pip install --no-cache-dir rfc3987-syntax \\
    && sed -i 's/: False,/: True,/; s/cache_files = True/cache_files = False/' \\
        /opt/quaderno/etc/jupyter/jupyter_server_config.py \\
    && find /opt/quaderno -name __pycache__ -prune -exec rm -r {{}} +
ENV PYTHONDONTWRITEBYTECODE=1
"""


@contextmanager
def plain_image(config: Config, base: str) -> Iterator[str]:
    """Its reference, made from that of the base image; afterwards it is gone."""
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        (context / "Dockerfile").write_text(_DOCKERFILE.format(base=base))
        build.build(context, _PLAIN, {}, build.new_log(config), print)
    try:
        yield _PLAIN
    finally:
        docker.from_env().images.remove(_PLAIN, force=True)
