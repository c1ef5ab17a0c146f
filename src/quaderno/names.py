"""One user's names everywhere: bucket, directory, container, network.

A username is plain when it can be used as it is for each of them, so that people find their files
under their own name. The rules are the intersection of S3 bucket names (Amazon S3 user guide,
"Bucket naming rules"), POSIX file names and DNS labels. What other identity providers call people
is mapped: a plain name to itself, any other to a name with a double hyphen, which no plain one has.

The mapping is for ever. People's buckets are named by it, and the object store's policy
(`storage.seaweedfs`) tells plain names from others by the same rules.
"""

import base64
import hashlib
import re
from collections.abc import Container

NOTICES = "quaderno"  # bucket of what is shared with whom, by names of objects
LONGEST = 40  # characters
PLAIN_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789-"
USERNAME_RULE = (
    f"3 to {LONGEST} characters: lower-case letters, digits and single hyphens, "
    "starting with a letter and ending with a letter or digit"
)
SERVER_RULE = (
    "1 to 30 characters: lower-case letters, digits and single hyphens, "
    "starting with a letter and ending with a letter or digit"
)
FURTHER_RULE = (
    "1 to 20 characters: lower-case letters, digits and single hyphens, "
    "starting and ending with a letter or digit"
)
ESCAPED, DIGESTED = "u--", "h--"  # what mapped names begin with
RESERVED = frozenset({"scratch", "local", "examples", NOTICES})
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
_S3_RESERVED = re.compile(
    r"xn--.*|sthree-.*|amzn-s3-demo-.*|.*-s3alias|.*--(?:ol|x|table)-s3", re.ASCII
)
_ESCAPED = re.compile(r"u--(?:[a-z0-9]|-[0-9a-f]{2})+", re.ASCII)
_DIGESTED = re.compile(r"h--(?:[a-z0-9]{1,12}-)?[a-z2-7]{24}", re.ASCII)
_FURTHER = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_READABLE = 12  # characters of a long name that its mapped one begins with
_DIGEST_BYTES = 15  # 120 bits: nobody finds a name with the digest of another's


def username_problem(name: str, reserved: Container[str] = ()) -> str | None:
    """Why `name` cannot be a username, as the end of a sentence; None when it can.

    `reserved` are names that this instance uses itself: its scratch bucket, if not "scratch".
    """
    too_long = not 3 <= len(name) <= LONGEST
    if too_long or not _NAME.fullmatch(name) or _S3_RESERVED.fullmatch(name):
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


def from_claim(claim: str, reserved: Container[str] = ()) -> str:
    """The username of somebody whom the identity provider calls `claim`, whatever that is.

    No two claims have the same one, save for a collision of 120 bits of SHA-256. What is escaped
    can be read back: after `u--`, each hyphen and two hexadecimal digits are an octet of UTF-8.
    """
    if username_problem(claim, reserved) is None:
        return claim
    octets = claim.encode("utf-8", "surrogatepass")
    escaped = ESCAPED + "".join(
        chr(octet) if _is_kept(octet) else f"-{octet:02x}" for octet in octets
    )
    if octets and len(escaped) <= LONGEST:
        return escaped
    readable = "".join(chr(octet) for octet in octets.lower() if _is_kept(octet))[:_READABLE]
    digest = base64.b32encode(hashlib.sha256(octets).digest()[:_DIGEST_BYTES]).decode().lower()
    return DIGESTED + (f"{readable}-" if readable else "") + digest


def is_mapped(username: str) -> bool:
    """Whether `username` has the form of one that stands for a name that is not plain."""
    form = _ESCAPED.fullmatch(username) or _DIGESTED.fullmatch(username)
    return form is not None and len(username) <= LONGEST


def storage_problem(username: str) -> str | None:
    """As `username_problem`, for what names somebody's storage: plain or mapped."""
    return None if is_mapped(username) else username_problem(username)


def _is_kept(octet: int) -> bool:
    return chr(octet).isascii() and chr(octet).isalnum() and not chr(octet).isupper()


def bucket(username: str) -> str:
    """The personal bucket, named after the user."""
    return username


def further_prefix(username: str) -> str:
    """What the names of the person's further buckets begin with, and nobody else's: a plain name
    holds no double hyphen, and a mapped one none after its first three characters."""
    return f"{username}--"


def further_problem(username: str, name: str) -> str | None:
    """Why `name` cannot be that of a further bucket, as the end of a sentence."""
    bucket = further_prefix(username) + name
    if len(name) > 20 or not _FURTHER.fullmatch(name) or _S3_RESERVED.fullmatch(bucket):
        return f"a bucket's name has {FURTHER_RULE}"
    return None


def owner(bucket: str) -> tuple[str, str]:
    """Whose `bucket` is by its name, and the name of a further one, empty for the personal one.

    The reverse of `bucket` and `further_prefix`; says nothing of whether there is such a person.
    """
    start = len(ESCAPED) if bucket.startswith((ESCAPED, DIGESTED)) else 0
    end = bucket.find("--", start)
    return (bucket, "") if end < 0 else (bucket[:end], bucket[end + 2 :])


def server_object(instance: str, username: str, server: str = "") -> str:
    """The name of a server's container and of its network, unique on an engine.

    `server` is JupyterHub's server name, empty for the default server. Server names are free
    text, so they enter as a digest, after a double hyphen: "u" and "h", which mapped names have
    before one, are too short to be somebody's.
    """
    if not server:
        return f"{instance}-{username}"
    digest = hashlib.sha256(server.encode()).hexdigest()[:10]
    return f"{instance}-{username}--{digest}"
