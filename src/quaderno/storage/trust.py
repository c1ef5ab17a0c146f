"""Whom the embedded store gives keys: the identity provider's people, and those with mapped names.

The role's policy puts the claim into the names of buckets, and SeaweedFS matches these without
regard to case and takes `*` and `?` for patterns. So the role of the identity provider's people is
closed to whoever has a name that is not plain (`names`), character by character, whatever token
they come with. For them there is a second role, for mapped names alone, which takes nobody's word
but the hub's (`hub.vouching`): a bug of the hub does not open the bucket of a plain name.
"""

from collections.abc import Iterator
from typing import Any

from quaderno import names
from quaderno.config import Config

MAPPED_CLAIM = "quaderno_username"  # in the hub's tokens
GUEST_CLAIM = "quaderno_guest"  # in those for what others share
AUDIENCE = "quaderno-store"  # of the hub's tokens
HUB_KEYS = "/hub/api/quaderno/store-keys"  # path of the hub's public key
_PROVIDER, _HUB = "quaderno", "quaderno-hub"
_ACTION = ["sts:AssumeRoleWithWebIdentity"]


def providers(config: Config) -> list[dict[str, Any]]:
    """Whose tokens are looked at."""
    hub = {
        "issuer": config.hub_issuer,
        "clientId": AUDIENCE,
        "jwksUri": f"http://127.0.0.1:{config.ports.hub}{HUB_KEYS}",
    }
    known = {_PROVIDER: _identity_provider(config), _HUB: hub}
    return [
        {"name": name, "type": "oidc", "enabled": True, "config": settings}
        for name, settings in known.items()
    ]


def _identity_provider(config: Config) -> dict[str, Any]:
    provider: dict[str, Any] = {
        "issuer": config.issuer,
        "clientId": config.oidc.client_id,
        "jwksCacheTTLSeconds": 300,
    }
    if config.iam.embedded and config.issuer == config.iam_url:
        # Asked directly: the public address may need TLS or not be reachable from here.
        provider["jwksUri"] = f"http://127.0.0.1:{config.ports.iam_app}/.well-known/jwks.json"
    return provider


def plain_names(config: Config) -> dict[str, Any]:
    """The trust policy of the role for plain names, save those of our own buckets.

    One of two characters, or with a hyphen at its end, may begin what is somebody else's: with two
    hyphens more, `u` is what all mapped names begin with (`names.further_prefix`).
    """
    claim = f"oidc:{config.oidc.username_claim}"
    reserved = sorted(names.RESERVED | {config.store.scratch_bucket})
    too_long = "?" * (names.LONGEST + 1) + "*"
    unlike = {"StringNotLike": {claim: ["*--*", "*-", "?", "??", too_long]}}
    allowed = {**unlike, "StringNotEquals": {claim: reserved}}
    return document(
        _statement("Allow", _PROVIDER, allowed),
        *(_statement("Deny", _PROVIDER, {"StringNotLike": {claim: p}}) for p in _plain_patterns()),
    )


def _plain_patterns() -> Iterator[list[str]]:
    """For each place in a name, what it looks like if there is a right character, or none.

    Patterns cannot say "only these characters", nor name a `*`; but what is in one place they can.
    """
    for place in range(names.LONGEST):
        right = names.PLAIN_CHARACTERS if place else names.PLAIN_CHARACTERS.rstrip("-0123456789")
        shorter = ["?" * length for length in range(1, place + 1)]
        yield [*shorter, *("?" * place + character + "*" for character in right)]


def mapped_names() -> dict[str, Any]:
    """The trust policy of the role for mapped names."""
    mapped = {f"oidc:{MAPPED_CLAIM}": [f"{names.ESCAPED}*", f"{names.DIGESTED}*"]}
    return document(_statement("Allow", _HUB, {"StringLike": mapped}))


def guests() -> dict[str, Any]:
    """The trust policy of the role in which people have what others share with them.

    Policies of buckets can name a session and no claim, and whoever has a token for the other
    roles names their session as they like. This one takes the hub's word alone.
    """
    return document(_statement("Allow", _HUB, {"StringLike": {f"oidc:{GUEST_CLAIM}": ["?*"]}}))


def _statement(effect: str, provider: str, condition: dict[str, Any]) -> dict[str, Any]:
    principal = {"Federated": provider}
    return {"Effect": effect, "Principal": principal, "Action": _ACTION, "Condition": condition}


def document(*statements: dict[str, Any]) -> dict[str, Any]:
    """A policy of `statements`."""
    return {"Version": "2012-10-17", "Statement": list(statements)}
