"""What a server said, without what must stay secret; pure.

For its person's page, and for the hub's log, which others read.
"""

import re
from collections.abc import Iterable

HIDDEN = "[hidden]"
_SHORTEST = 8  # characters; shorter values would hide ordinary words
_SECRET_NAME = re.compile(r"token|secret|passw|credential|api_?key|private", re.IGNORECASE)
_PLACES = re.compile(r"(?:_FILE|_URI|_URL|_SOCK|_PATH|_DIR)$")
_PATTERNS = [
    # JSON Web Tokens (RFC 7519), and what follows a scheme of HTTP authentication.
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), HIDDEN),
    (re.compile(r"\bBearer +[\w.~+/=-]{8,}", re.IGNORECASE), f"Bearer {HIDDEN}"),
    (re.compile(r"(?i)(authorization[\"']?\s*[=:]\s*[\"']?\w+ +)[^\s\"',;]+"), rf"\1{HIDDEN}"),
    # Keys of S3 and STS.
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), HIDDEN),
    # user:password@ in an address.
    (re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    # name=value and "name": "value", also in the query of an address.
    (
        re.compile(
            r"""(?ix)\b([\w-]*(?:token|secret|passw(?:or)?d|passphrase|api_?key|access_?key
            (?:_?id)?|signature)["']?\s*[=:]\s*["']?)[^\s"'&,;]+"""
        ),
        rf"\1{HIDDEN}",
    ),
]
# Escape sequences of terminals (ECMA-48), and other control characters.
_CONTROL = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])"
    r"|[^\t\n\x20-\x7e\xa0-\U0010ffff]"
)


def secrets_in(environment: Iterable[str]) -> list[str]:
    """The values, of `NAME=value`, that are secret by their names."""
    pairs = (entry.partition("=") for entry in environment)
    return [
        value
        for name, _, value in pairs
        if _SECRET_NAME.search(name) and not _PLACES.search(name) and len(value) >= _SHORTEST
    ]


def redacted(said: str, secrets: Iterable[str] = ()) -> str:
    """`said` without `secrets`, what looks like one, and control characters."""
    text = _CONTROL.sub("", said.replace("\r\n", "\n").replace("\r", "\n"))
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text
