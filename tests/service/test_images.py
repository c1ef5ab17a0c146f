"""Images other than the base image: they start through the hub, and are servers like any other.

One that is made from the base image is in test_s3_clients.py, one that is pulled in test_pull.py.
"""

import io
from collections.abc import Iterator

import docker
import pytest

from quaderno.images import build
from tests.service import http_person
from tests.service.kernel import Kernel
from tests.service.running import Hub, Service, wait_for

PASSWORD = "a-difference-engine-1822"
SOURCE, ADAPTED = "quaderno-test/stack:1", "quaderno-test/stack-adapted:1"
# As the Jupyter Docker Stacks: JupyterLab for others, which a script of its own sets up.
STACK = """
FROM {minimal}
USER root
RUN pip uninstall --yes quaderno-server \\
    && printf '#!/bin/sh\\nFROM_SCRIPT=yes exec "$@"\\n' > /usr/local/bin/start.sh \\
    && chmod 755 /usr/local/bin/start.sh
LABEL quaderno.contract=""
ENV HOME=/root
WORKDIR /root
ENTRYPOINT ["tini", "--", "start.sh"]
CMD ["start-notebook.py"]
"""


@pytest.fixture(scope="module")
def images(service: Service) -> Iterator[dict[str, str]]:
    """The minimal image, and one of those from elsewhere that was adapted."""
    service.quaderno("image", "build", "--minimal")
    minimal = build.base_reference(service.config, "minimal")
    engine = docker.from_env()
    dockerfile = io.BytesIO(STACK.format(minimal=minimal).encode())
    engine.images.build(fileobj=dockerfile, tag=SOURCE, rm=True)
    service.quaderno("image", "adapt", SOURCE, "--tag", ADAPTED)
    yield {"minimal": minimal, "adapted": ADAPTED}
    for reference in (ADAPTED, SOURCE):
        engine.images.remove(reference, force=True)


@pytest.fixture(scope="module")
def iris(service: Service) -> str:
    """Whose last choice is an image that goes."""
    service.register("iris", PASSWORD)
    http_person.log_in(service, "iris", PASSWORD)
    return "iris"


@pytest.mark.parametrize(("name", "through"), [("minimal", "None"), ("adapted", "yes")])
def test_it_is_a_server_with_storage_kernels_and_what_was_its_own(
    service: Service, hub: Hub, iris: str, images: dict[str, str], name: str, through: str
) -> None:
    hub.start(iris, image=images[name])
    try:
        mounted = f"import os; print(os.path.ismount('/workarea/cloud_storage/{iris}'))"
        wait_for(lambda: service.inside(iris, mounted)[1] == "True", 60, "the storage")
        with Kernel(service, iris, PASSWORD) as kernel:
            kernel.run(f"open('/workarea/cloud_storage/{iris}/of-an-image', 'w').close()")
            assert kernel.run("import os; print(os.environ.get('FROM_SCRIPT'))") == f"{through}\n"
            assert "local/environments" in kernel.run("import sys; print(sys.prefix)")
            terminal = "!bash -lc 'quaderno-workarea list; command -v pip'"
            assert "local/environments" in kernel.run(terminal)
    finally:
        hub.stop(iris)
