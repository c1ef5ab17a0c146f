"""`weed shell`: what of the embedded store only its operator may change, over gRPC.

Master and filer know no authentication: root and system users alone reach them.
"""

import os
import subprocess

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import seaweedfs

PATIENCE = 20.0  # seconds


def run(config: Config, line: str) -> str:
    """What it says to one command; its exit status is 0 whatever happened. Blocking.

    It waits for a master for ever, and is ended although we may be killed meanwhile. Raises
    StorageError.
    """
    ports = config.ports
    try:
        done = subprocess.run(
            [
                "/usr/bin/timeout",
                "--signal=KILL",
                f"{PATIENCE}",
                seaweedfs.program(),
                "shell",
                f"-master=127.0.0.1:{ports.store_master}.{ports.store_master_grpc}",
                f"-filer=127.0.0.1:{ports.store_filer}.{ports.store_filer_grpc}",
            ],
            input=line + "\n",
            env={"PATH": os.environ.get("PATH", ""), **seaweedfs.environment(config)},
            cwd="/",
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StorageError(f"`{line}` failed at the store: {error}") from error
    said = " ".join(f"{done.stdout} {done.stderr}".split())
    if "error:" in said:
        raise StorageError(f"`{line}` failed at the store: {said}")
    return said
