"""What somebody is called here, by what the identity provider says, and what they read when that
cannot be."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from tornado import web

from quaderno import names
from quaderno.config import Config

_SHOWN = 64  # characters of a name that cannot be


class UnnamedError(ValueError):
    """The provider does not say what somebody is called: no word on whether they may come in."""


def from_claims(config: Config, claims: Mapping[str, Any]) -> str:
    """The username claim if it is safe as it is, else what it is mapped to.

    Raises UnnamedError, with a sentence for the person, and HTTP 403 with one where the store knows
    no mapped names.
    """
    claim, reserved = claims.get(config.oidc.username_claim), [config.store.scratch_bucket]
    if claim is None or claim == "":
        raise UnnamedError(
            "The identity provider does not say what you are called here (its claim "
            f"{config.oidc.username_claim} is missing). Ask {config.contact}."
        )
    problem = names.username_problem(str(claim), reserved)
    if problem and not (config.maps_usernames and isinstance(claim, str)):
        raise web.HTTPError(
            HTTPStatus.FORBIDDEN,
            f"Your username {str(claim)[:_SHOWN]!r} cannot be used here: {problem}. The identity "
            f"provider can give you another one for this service: ask {config.contact}.",
        )
    return names.from_claim(claim, reserved)
