"""The hub tells the embedded store which mapped name somebody has (`names`, `storage.trust`), and
who comes for what others share with them.

Such a name is in no token of the identity provider. The hub asks that provider who somebody is, as
for everybody, and then signs a token of its own, which goes to the store and nowhere else. The key
that signs lives as long as the process; the store asks for its public half.
"""

import secrets
import threading
import time
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jupyterhub.handlers.base import BaseHandler
from jwt.algorithms import RSAAlgorithm

from quaderno import names
from quaderno.config import Config
from quaderno.storage import trust


class Voucher:
    """Signs for people with mapped names; may be called by several threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._key_id = secrets.token_urlsafe(12)

    @cached_property
    def _private_key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def _key(self) -> rsa.RSAPrivateKey:
        with self._lock:
            return self._private_key

    def token(self, username: str) -> str:
        """For `username`, which must be a mapped one; S3 keys live no longer than their token.

        Takes a second when it is the first.
        """
        if not names.is_mapped(username):
            raise ValueError(f"{username} is not a mapped name")
        return self._signed(username, trust.MAPPED_CLAIM)

    def guest_token(self, username: str) -> str:
        """For what others share with `username`, which may be plain."""
        return self._signed(username, trust.GUEST_CLAIM)

    def _signed(self, username: str, claim: str) -> str:
        now = int(time.time())
        payload = {
            "iss": self._config.hub_issuer,
            "aud": trust.AUDIENCE,
            "sub": username,
            claim: username,
            "iat": now,
            "exp": now + self._config.store.key_lifetime,
        }
        return jwt.encode(payload, self._key(), algorithm="RS256", headers={"kid": self._key_id})

    def public_keys(self) -> dict[str, Any]:
        """A JSON Web Key Set (RFC 7517, section 5)."""
        public = RSAAlgorithm.to_jwk(self._key().public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self._key_id, "use": "sig", "alg": "RS256"}]}


class StoreKeysHandler(BaseHandler):
    """`GET /hub/api/quaderno/store-keys`: the public key, for anybody."""

    def initialize(self, voucher: Voucher) -> None:
        self._voucher = voucher

    def get(self) -> None:
        self.write(self._voucher.public_keys())
