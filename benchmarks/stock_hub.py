"""The peer: JupyterHub as its documentation sets it up for containers, with DockerSpawner and
configurable-http-proxy. Same limits, same machine, no storage; the image and its program are to be
chosen."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from quaderno import contract
from tests.ports import free_ports
from tests.service.running import wait_for

CONFIGURATION = """
import os
c = get_config()
port = int(os.environ["BENCH_PORT"])
c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://0.0.0.0:{port + 1}"
c.JupyterHub.hub_connect_url = f"http://{os.environ['BENCH_GATEWAY']}:{port + 1}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"
c.ConfigurableHTTPProxy.command = [os.environ["BENCH_PROXY"]]
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "dockerspawner.DockerSpawner"
c.DockerSpawner.options_form = '<input type="hidden" name="nothing" value="asked">'
c.DockerSpawner.default_url = "/lab"
c.DockerSpawner.image = os.environ["BENCH_IMAGE"]
c.DockerSpawner.prefix = f"bench-{port}"
c.DockerSpawner.cmd = os.environ["BENCH_PROGRAM"]
c.DockerSpawner.remove = True
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.mem_limit = int(os.environ["BENCH_MEMORY"])
c.DockerSpawner.cpu_limit = float(os.environ["BENCH_CPU"])
c.JupyterHub.services = [{"name": "bench", "api_token": os.environ["BENCH_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "bench", "services": ["bench"], "scopes": ["admin:users", "servers", "access:servers"]}
]
"""


@contextmanager
def running(
    image: str, cpu: float, memory: int, program: str = contract.PROGRAM
) -> Iterator[tuple[str, str]]:
    """A stock hub; yields its public URL and a token that starts servers."""
    token, port = secrets.token_hex(16), free_ports()
    with tempfile.TemporaryDirectory() as directory:
        configuration = Path(directory) / "jupyterhub_config.py"
        configuration.write_text(CONFIGURATION)
        environment = os.environ | {
            "BENCH_PORT": str(port),
            "BENCH_GATEWAY": _docker_gateway(),
            "BENCH_PROXY": _proxy(),
            "BENCH_IMAGE": image,
            "BENCH_PROGRAM": program,
            "BENCH_MEMORY": str(memory),
            "BENCH_CPU": str(cpu),
            "BENCH_TOKEN": token,
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
        }
        hub = subprocess.Popen(
            [str(Path(sys.prefix) / "bin" / "jupyterhub"), "-f", str(configuration)],
            cwd=directory, env=environment,
            stdout=(Path(directory) / "log").open("w"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: _answers(url), 60, "the stock hub")
            yield url, token
        except BaseException:
            sys.stderr.write((Path(directory) / "log").read_text()[-4000:])
            raise
        finally:
            hub.terminate()
            hub.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/hub/health").is_success
    except httpx.TransportError:
        return False


def _docker_gateway() -> str:
    """This machine's address on the engine's default network."""
    addresses = psutil.net_if_addrs()["docker0"]
    return next(entry.address for entry in addresses if entry.family == socket.AF_INET)


def _proxy() -> str:
    """configurable-http-proxy from npm, as package-lock.json has it, in a cache directory."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quaderno-bench"
    cache.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(Path(__file__).parent / name, cache)
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--prefix", str(cache)], check=True)
    return str(cache / "node_modules" / ".bin" / "configurable-http-proxy")
