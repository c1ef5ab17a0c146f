"""What contract and service tests share: a container engine that runs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from quaderno import host
from tests.service.running import wait_for


@pytest.fixture(scope="session")
def container_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The engine of this machine; where none runs, one is started and stopped again."""
    if host.engine_answers():
        yield
        return
    log = tmp_path_factory.mktemp("engine") / "dockerd.log"
    host.ensure_engine(log, lambda _: None)
    pid = int(Path("/var/run/docker.pid").read_text())
    yield
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 60, "the end of dockerd")
