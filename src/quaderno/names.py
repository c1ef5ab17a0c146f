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
SERVER_RULE = (
    "1 to 30 characters: lower-case letters, digits and single hyphens, "
    "starting with a letter and ending with a letter or digit"
)
RESERVED = frozenset({"scratch", "local", "examples", "quaderno"})
# A named server is below its person's default server: /user/ada/NAME would take the place of the
# default server's own page of that name. These are Jupyter Server's, and those of usual extensions.
SERVER_RESERVED = frozenset({
    "api", "code", "consoles", "custom", "dask", "desktop", "doc", "edit", "files", "git", "hub",
    "kernelspecs", "lab", "login", "logout", "lsp", "mathjax", "metrics", "nbclassic", "nbconvert",
    "nbextensions", "nbgitpuller", "notebooks", "proxy", "quaderno", "retro", "rstudio",
    "services", "shiny", "static", "templates", "terminals", "tree", "user", "view", "voila",
    "vscode",
})  # fmt: skip
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*", re.ASCII)
# Prefixes and suffixes that Amazon S3 keeps for itself.
_S3_RESERVED = re.compile(r"xn--.*|sthree-.*|amzn-s3-demo-.*|.*-s3alias|.*--ol-s3", re.ASCII)


def username_problem(name: str, reserved: Container[str] = ()) -> str | None:
    """Why `name` cannot be a username, as the end of a sentence; None when it can.

    `reserved` are names that this instance uses itself: its scratch bucket, if not "scratch".
    """
    if not 3 <= len(name) <= 40 or not _NAME.fullmatch(name) or _S3_RESERVED.fullmatch(name):
        return f"a username has {USERNAME_RULE}"
    if name in RESERVED or name in reserved:
        return "this name is reserved"
    return None


def server_problem(name: str) -> str | None:
    """Why `name` cannot be a named server's, as the end of a sentence; None when it can."""
    if not 1 <= len(name) <= 30 or not _NAME.fullmatch(name):
        return f"a server's name has {SERVER_RULE}"
    if name in SERVER_RESERVED:
        return "it is a page of your first server"
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
