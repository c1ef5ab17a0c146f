"""Applications that may send people here: how they are registered, and what they may ask for.

The hub is one (`ensure_client`). Others are registered by operators: services with a secret, and
programs without one that have no browser and get in by the device flow (RFC 8628). Or they register
themselves (`client_registration`), with a token of an operator's.
"""

import secrets
from collections.abc import Iterable
from datetime import timedelta

from allauth.idp.oidc.adapter import get_adapter
from allauth.idp.oidc.models import Client, Token
from django.conf import settings
from django.utils import timezone

from quaderno.errors import AccountError
from quaderno.iam.adapters import OidcAdapter
from quaderno.iam.client_rules import id_problem, name_problem, redirect_problem


def add(client_id: str, name: str, redirect_uris: Iterable[str]) -> str:
    """Register a service that answers at `redirect_uris`, or without any, a program that uses the
    device flow; the secret of a service, which is shown only now, else "".

    Raises AccountError.
    """
    uris = list(redirect_uris)
    problems = [(f"The address {uri}", redirect_problem(uri)) for uri in uris]
    problems.append((f"The name {name!r}", name_problem(name)))
    problems.append((f"The identifier {client_id!r}", id_problem(client_id)))
    for what, problem in problems:
        if problem:
            raise AccountError(f"{what} cannot be used: {problem}", "Choose another one")
    client = Client(id=client_id, name=name, type=Client.Type.PUBLIC)
    secret = get_adapter().generate_client_secret()
    client.set_secret(secret)
    grants = [Client.GrantType.DEVICE_CODE, Client.GrantType.REFRESH_TOKEN]
    if uris:
        client.type = Client.Type.CONFIDENTIAL
        grants[0] = Client.GrantType.AUTHORIZATION_CODE
    client.set_grant_types([str(grant) for grant in grants])
    client.set_scopes(list(OidcAdapter.scope_display))
    client.set_default_scopes(["openid", "profile"])
    client.set_redirect_uris(uris)
    client.save()
    return secret if uris else ""


def remove(client_id: str) -> None:
    """End an application's registration, and with it its tokens.

    Raises AccountError for the hub's, and where there is none.
    """
    if client_id == settings.QUADERNO.oidc.client_id:
        raise AccountError("This is the hub's own registration", "It is needed")
    deleted, _ = Client.objects.filter(id=client_id).delete()
    if not deleted:
        raise AccountError(f"There is no application {client_id!r}", "quaderno client list")


def invite(days: int) -> str:
    """A token with which one application may register itself within `days` days.

    Raises AccountError where none may.
    """
    if settings.QUADERNO.iam.client_registration == "closed":
        raise AccountError(
            "Applications do not register themselves here", "Set iam.client_registration: token"
        )
    value = secrets.token_urlsafe(32)
    token = Token(type=Token.Type.INITIAL_ACCESS_TOKEN)
    token.expires_at = timezone.now() + timedelta(days=days)
    token.set_value(value)
    token.save()
    return value
