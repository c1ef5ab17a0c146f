"""What every server gets, whichever spawner starts it: environment, limits, mounts, labels.

Pure, so that the containers' confinement can be read and tested in one place.
"""

import math
from collections.abc import Sequence
from typing import Any

from quaderno import names
from quaderno.config import Config
from quaderno.contract import HOME as HOME
from quaderno.contract import PORT as PORT
from quaderno.contract import USER as USER
from quaderno.contract import WORKAREA as WORKAREA
from quaderno.hub import gpus
from quaderno.hub.options import ServerOptions

OIDC_SOCKET = f"{HOME}/.quaderno/oidc-agent.sock"
# Where AWS SDKs find their keys: an address of the container's own, and what they show there.
S3_KEYS = "http://127.0.0.1:17888/s3-keys"
S3_KEYS_TOKEN_FILE = f"{HOME}/.quaderno/s3-keys-token"

# What numeric libraries read to size their thread pools: a container limited to one CPU still
# sees all of the host's, and would otherwise start a thread for each.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "JULIA_NUM_THREADS",
    "GOMAXPROCS",
    "LOKY_MAX_CPU_COUNT",
    "PYTHON_CPU_COUNT",
)

# A store that is away is an error within seconds, where clients' own numbers mean more, or minutes.
# boto3 and its relatives read theirs from the image's aws-config.
_STORE_AWAY = {
    "RCLONE_RETRIES": "1",
    "RCLONE_LOW_LEVEL_RETRIES": "2",
    "RCLONE_CONTIMEOUT": "3s",
    "POLARS_CLOUD_MAX_RETRIES": "2",
    "POLARS_HTTP_CONNECT_TIMEOUT_SECONDS": "3",
}


def environment(
    config: Config, options: ServerOptions, devices: Sequence[str] = ()
) -> dict[str, str]:
    """Environment on top of JupyterHub's own; nothing in it is secret. `devices` are its GPUs."""
    threads = str(max(1, math.ceil(options.cpu)))
    return {
        **dict.fromkeys(_THREAD_VARIABLES, threads),
        **gpus.environment(devices),
        "CPU_LIMIT": f"{options.cpu:g}",
        "MEM_LIMIT": str(options.memory),
        "AWS_ENDPOINT_URL_S3": config.store_endpoint_for_servers,
        "AWS_REGION": config.store.region,
        "AWS_DEFAULT_REGION": config.store.region,  # what boto3 reads
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": S3_KEYS,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": S3_KEYS_TOKEN_FILE,
        "AWS_ENDPOINT_URL_STS": config.sts_endpoint_for_servers,
        **_STORE_AWAY,
        "QUADERNO_ROLE_ARN": config.store.role_arn,
        "OIDC_SOCK": OIDC_SOCKET,
        "QUADERNO_OIDC_ACCOUNT": config.oidc.agent_account,
        "HOME": HOME,
        "JUPYTERHUB_ROOT_DIR": WORKAREA,
        "JUPYTERHUB_DEFAULT_URL": "/lab",
    }


def labels(config: Config, username: str, server: str) -> dict[str, str]:
    """Labels of a server's container and network."""
    return {
        "quaderno.instance": config.instance,
        "quaderno.user": username,
        "quaderno.server": server,
    }


def volumes(config: Config, username: str) -> dict[str, dict[str, str]]:
    """Host directories bound into the container.

    `cloud_storage` is the *parent* of the mount points and receives mounts made on the host
    later (`rslave`), so that storage may come, go and come back under a running server.
    """
    return {
        str(config.mounts / username): {
            "bind": f"{WORKAREA}/cloud_storage",
            "mode": "rw",
            "propagation": "rslave",
        },
        str(config.local / username): {"bind": f"{WORKAREA}/local", "mode": "rw"},
    }


def host_config(
    config: Config, options: ServerOptions, devices: Sequence[str] = ()
) -> dict[str, Any]:
    """Confinement, in the terms of the Docker Engine API's HostConfig; `devices` are its GPUs."""
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "privileged": False,
        "pids_limit": config.servers.pids_limit,
        # Equal to the memory limit: no swap, so the limit is what it says.
        "memswap_limit": options.memory,
        "restart_policy": {"Name": "no"},
        # An ended container stays until the hub has seen why it ended.
        "auto_remove": False,
        **({"device_requests": gpus.requests(devices)} if devices else {}),
        "log_config": {"Type": "json-file", "Config": {"max-size": "5m", "max-file": "2"}},
    }


def container_name(config: Config, username: str, server: str) -> str:
    """Name of the container, and of the network that it alone is on."""
    return names.server_object(config.instance, username, server)
