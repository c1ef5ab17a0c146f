"""What the programs of the hub have in common: an instance, and a way to say what is wrong."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from quaderno import config as quaderno_config
from quaderno.config import Config
from quaderno.errors import QuadernoError


def run(work: Callable[[Config], None]) -> int:
    """The exit status of `work` on the instance that QUADERNO_CONFIG names; what is wrong goes to
    standard error, as operators read it."""
    config = quaderno_config.load_file(Path(os.environ["QUADERNO_CONFIG"]))
    try:
        work(config)
    except QuadernoError as error:
        sys.stderr.write(f"error: {error.message}\nhint: {error.hint}\n")
        return 1
    return 0
