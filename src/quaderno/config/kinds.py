"""The kinds of values that settings have, each with what it must look like."""

import base64
import re
from typing import Annotated
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from quaderno.quantities import format_memory, parse_memory

_KEY_BYTES = 32
# The grammar of github.com/distribution/reference, without the length limits it checks later.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]{1,5})?)"
_REFERENCE = re.compile(
    rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)
_REFERENCE_LENGTH = 512


class NeededBy:
    """Marks a setting with the components that need it: others never see a secret, and are not
    restarted for a change."""

    def __init__(self, *components: str) -> None:
        self.components = frozenset(components)


def _url(value: str) -> str:
    if not _is_url(value):
        raise ValueError("expected http(s)://host[:port][/path]")
    return value


def _origin(value: str) -> str:
    if not _is_url(value) or urlsplit(value).path.strip("/"):
        raise ValueError("expected http(s)://host[:port], without a path")
    return value.rstrip("/")


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:  # of the brackets around an IPv6 address, or of the port
        return False
    extra = parts.query or parts.fragment or "@" in parts.netloc
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0 and not extra


def is_reference(value: str) -> bool:
    """Whether `value` can name an image."""
    return len(value) <= _REFERENCE_LENGTH and bool(_REFERENCE.fullmatch(value))


def _reference(value: str) -> str:
    if not is_reference(value):
        raise ValueError("expected an image reference such as registry.example.org/group/image:tag")
    return value


def group_name(name: str) -> str:
    """As it is known here: INDIGO IAM says `dev/ml` in one claim and `/dev/ml` in another."""
    return f"/{name.lstrip('/')}"


# A secret that a component does not need is empty in its slice of the configuration.


def _hexadecimal(secret: SecretStr) -> SecretStr:
    try:
        right = len(bytes.fromhex(secret.get_secret_value())) in (0, _KEY_BYTES)
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"expected {_KEY_BYTES} bytes in hexadecimal, as of: openssl rand -hex 32")
    return secret


def _base64(secret: SecretStr) -> SecretStr:
    try:
        right = len(base64.b64decode(secret.get_secret_value(), validate=True)) in (0, _KEY_BYTES)
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"expected {_KEY_BYTES} bytes in base64, as of: openssl rand -base64 32")
    return secret


def _rsa_key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        right = not text or isinstance(load_pem_private_key(text.encode(), None), RSAPrivateKey)
    except (ValueError, TypeError):  # not PEM; or encrypted
        right = False
    if not right:
        raise ValueError("expected an RSA private key in PEM, as of: openssl genrsa 2048")
    return secret


Memory = Annotated[
    int,
    BeforeValidator(parse_memory),
    PlainSerializer(format_memory, return_type=str),
    Field(json_schema_extra={"type": "string"}),
]
Limit = Annotated[Memory, Field(ge=0)]  # 0 is no limit
Port = Annotated[int, Field(ge=1, le=65535)]
Url = Annotated[str, AfterValidator(_url)]
Origin = Annotated[str, AfterValidator(_origin)]  # RFC 6454, without a trailing slash
Reference = Annotated[str, AfterValidator(_reference)]
Group = Annotated[str, Field(min_length=1), AfterValidator(group_name)]
Secret = Annotated[
    SecretStr,
    PlainSerializer(lambda value: value.get_secret_value(), return_type=str),
]
HexSecret = Annotated[Secret, AfterValidator(_hexadecimal)]
Base64Secret = Annotated[Secret, AfterValidator(_base64)]
RsaSecret = Annotated[Secret, AfterValidator(_rsa_key)]
