"""The service that removes images, as a program."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from quaderno import config as configuration


def test_it_ends_without_a_word_when_the_hub_ends(tmp_path: Path) -> None:
    config = configuration.for_component(configuration.generate(tmp_path), "hub")
    settings = tmp_path / "settings.yaml"
    settings.write_text(configuration.dump(config))
    environment = os.environ | {
        "QUADERNO_CONFIG": str(settings),
        "DOCKER_HOST": f"unix://{tmp_path / 'nobody'}",
    }
    command = [sys.executable, "-m", "quaderno.hub.image_cleaning"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as program:
        assert program.stderr is not None
        assert "are not looked at" in program.stderr.readline()
        program.send_signal(signal.SIGINT)
        assert program.stderr.read() == ""
    assert program.returncode == -signal.SIGINT
