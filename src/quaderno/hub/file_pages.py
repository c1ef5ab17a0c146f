"""The web page of the object store as a service of the hub, which does not start it; pure.

It has no role, hence no power: what it does, it does with the token of the person who looks.
"""

from typing import Any

from quaderno.config import Config
from quaderno.hub import scoped

NAME = "files"
ADDRESS = f"/services/{NAME}/"
ACCESS = f"access:services!service={NAME}"  # what everybody has


def service(config: Config) -> dict[str, Any]:
    """For `c.JupyterHub.services`. Its pages are ours, so nobody is asked whether they trust it."""
    return {
        "name": NAME,
        "url": f"http://127.0.0.1:{config.ports.files}",
        "api_token": config.files.client_secret.get_secret_value(),
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": [
            f"{scoped.S3_KEYS_SCOPE}!user",
            f"{scoped.STORAGE_SCOPE}!user",
            "read:users:name!user",
        ],
        "display": False,
    }
