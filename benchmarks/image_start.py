"""The base image's program until it first answers, and the same without what makes it quick.

Seconds from the start of the process to the first answer 200, in a container with the limits of a
server, the file system as it comes from the image.
"""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker

from benchmarks import plain_image
from quaderno import config as configuration
from quaderno import contract
from quaderno.config import Config
from quaderno.hub import server
from quaderno.hub.options import ServerOptions
from quaderno.images import build
from tests.contract.hub_api import HubApi, environment
from tests.contract.lab_fixtures import gateway
from tests.serving import serving

ROUNDS = 10
TARGET = 0.5
# Runs what is given and prints the seconds until it answers.
_PROBE = """\
import http.client, subprocess, sys, time
begin = time.monotonic()
started = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
status = None
while status != 200:
    if started.poll() is not None:
        sys.exit(f"it ended with code {started.returncode}")
    connection = http.client.HTTPConnection("127.0.0.1", 8888, timeout=60)
    try:
        connection.request("GET", "/user/anna/api")
        status = connection.getresponse().status
    except OSError:
        time.sleep(0.005)
print(time.monotonic() - begin)
"""


def run() -> Iterator[str]:
    """The lines of the report."""
    with tempfile.TemporaryDirectory() as directory:
        config = configuration.generate(Path(directory))
        build.build_base(config, print)
        base = build.base_reference(config)
        with plain_image.plain_image(config, base) as plain:
            sides = ((base, contract.PROGRAM), (plain, plain_image.PROGRAM))
            rounds = [[_seconds(config, *side) for side in sides] for _ in range(ROUNDS + 1)]
    # The first pair warms the page cache on both sides.
    yield from report([(ours, plain) for ours, plain in rounds[1:]])


def report(pairs: list[tuple[float, float]]) -> Iterator[str]:
    """Of seconds as it is, and without its measures."""
    ours, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    yield f"base image to its first answer, {len(pairs)} in alternation, medians in seconds:"
    yield f"  as it is {ours:.2f}   without its measures {plain:.2f}   ratio {ours / plain:.2f}"
    verdict = "holds" if ours / plain <= TARGET else f"not: {ours / plain:.2f}"
    yield f"target, ratio of {TARGET:g} or less: {verdict}"


def _seconds(config: Config, image: str, program: str) -> float:
    """One start of `program` in a new container."""
    client = docker.from_env()
    servers = config.servers
    options = ServerOptions(image, servers.cpu.default, servers.memory.default)
    with serving(HubApi(gateway(client.networks.get("bridge")))) as hub:
        container = client.containers.run(
            image,
            ["sleep", "infinity"],
            detach=True,
            user=server.USER,
            environment={**server.environment(config, options), **environment(hub.url)},
            nano_cpus=int(options.cpu * 1e9),
            mem_limit=options.memory,
            **server.host_config(config, options),
        )
        try:
            done: Any = container.exec_run(["python", "-c", _PROBE, program])
            assert done.exit_code == 0, done.output.decode()
            return float(done.output)
        finally:
            container.remove(force=True, v=True)
