"""The idle culler as a service of the hub, which starts it, and what it may do; pure."""

import sys
from typing import Any, Literal

from quaderno.config import Config

NAME = "idle-culler"
_NEVER = 10 * 365 * 24 * 3600  # seconds; the culler knows no other word for it
_REQUEST_TIMEOUT = 600  # seconds; the hub answers when files are copied
_MOST_BETWEEN_LOOKS = 600  # seconds


def services(config: Config) -> list[dict[str, Any]]:
    """For `c.JupyterHub.services`; none where servers run for ever."""
    idle, age = config.servers.idle_timeout, config.servers.max_age
    if not idle and not age:
        return []
    every = min(_MOST_BETWEEN_LOOKS, max(1, min(filter(None, (idle, age))) // 4))
    program = [sys.executable, "-m", "jupyterhub_idle_culler"]
    return [
        {
            "name": NAME,
            # It must not outlive a hub that is killed, whose token it holds.
            "command": [
                *("setpriv", "--pdeathsig", "TERM", "--"),
                *program,
                f"--timeout={idle or _NEVER}",
                f"--max-age={age}",
                f"--cull-every={every}",
            ],
            "environment": {"JUPYTERHUB_REQUEST_TIMEOUT": str(_REQUEST_TIMEOUT)},
            "display": False,
        }
    ]


def roles(config: Config) -> list[dict[str, Any]]:
    """For `c.JupyterHub.load_roles`: it sees who is idle, and stops servers."""
    scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
    return [
        {"name": NAME, "services": [service["name"]], "scopes": scopes}
        for service in services(config)
    ]


def is_culler(asking: Any) -> bool:
    """Whether the one who asks is this service; people's names are no services'."""
    return bool(asking.kind == "service" and asking.name == NAME)


def why(max_age: int, age: float) -> Literal["idle", "age"]:
    """Why the culler stops a server of `age` seconds."""
    return "age" if max_age and age >= max_age else "idle"
