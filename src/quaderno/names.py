"""One user's names everywhere: bucket, directory, container, network.

A username is valid when it can be used as it is for each of them, so that nothing has to be
escaped, nothing collides, and people find their files under their own name. The rules are the
intersection of S3 bucket names (Amazon S3 user guide, "Bucket naming rules"), POSIX file names
and DNS labels.
"""

import hashlib
import re
from collections.abc import Container

USERNAME_RULE = (
    "3 to 40 characters: lower-case letters, digits and single hyphens, "
    "starting with a letter and ending with a letter or digit"
)
RESERVED = frozenset({"scratch", "local", "examples", "quaderno"})
_USERNAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", re.ASCII)
# Prefixes and suffixes that Amazon S3 keeps for itself.
_S3_RESERVED = re.compile(r"xn--.*|sthree-.*|amzn-s3-demo-.*|.*-s3alias|.*--ol-s3", re.ASCII)


def username_problem(name: str, reserved: Container[str] = ()) -> str | None:
    """Why `name` cannot be a username, as the end of a sentence; None when it can.

    `reserved` are names that this instance uses itself: its scratch bucket, if not "scratch".
    """
    if not 3 <= len(name) <= 40 or not _USERNAME.fullmatch(name) or _S3_RESERVED.fullmatch(name):
        return f"a username has {USERNAME_RULE}"
    if name in RESERVED or name in reserved:
        return "this name is reserved"
    return None


def bucket(username: str) -> str:
    """The personal bucket, named after the user."""
    return username


def server_object(instance: str, username: str, server: str = "") -> str:
    """The name of a server's container and of its network, unique on an engine.

    `server` is JupyterHub's server name, empty for the default server. Server names are free
    text, so they enter as a digest.
    """
    if not server:
        return f"{instance}-{username}"
    digest = hashlib.sha256(server.encode()).hexdigest()[:10]
    return f"{instance}-{username}--{digest}"
