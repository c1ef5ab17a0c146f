"""Applications that may send people here: how they are registered, and what they may ask for.

The hub is one (`ensure_client`). Others are registered by operators: services with a secret, and
programs without one that have no browser and get in by the device flow (RFC 8628).
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from allauth.idp.oidc.adapter import get_adapter
from allauth.idp.oidc.models import Client
from django.conf import settings

from quaderno.errors import AccountError
from quaderno.iam.adapters import OidcAdapter

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,63}", re.ASCII)
_LONGEST_NAME = 60  # characters
_HOST = re.compile(r"([a-z0-9-]+(\.[a-z0-9-]+)*|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.ASCII)
_LOOPBACK = ("127.0.0.1", "[::1]", "localhost")
# Of programs on people's own machines (RFC 8252, section 7.1): a name that its owner reversed.
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+", re.ASCII)


def redirect_problem(uri: str) -> str | None:
    """Why an application's answers cannot go to `uri`, as the end of a sentence; None when they
    can.

    Hosts also become part of every page's Content-Security-Policy.
    """
    if not uri.isascii() or not uri.isprintable() or set(uri) & set("*\\ \"'<>;,"):
        return "it has characters that do not belong into an address"
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "it is not an address"
    if "#" in uri:
        return "it has a fragment"
    if _PRIVATE_SCHEME.fullmatch(parts.scheme):
        return None
    if not _HOST.fullmatch(parts.netloc):
        return "it names no host, or more than a host and a port"
    on_this_machine = re.sub(":[0-9]+$", "", parts.netloc) in _LOOPBACK
    if parts.scheme == "https" or (parts.scheme == "http" and on_this_machine):
        return None
    return "it must begin with https://, or be one of the person's own machine"


def name_problem(name: str) -> str | None:
    """Why an application cannot be called `name`, which people read when they decide."""
    if not 3 <= len(name) <= _LONGEST_NAME or not name.isprintable() or name != name.strip():
        return f"a name has 3 to {_LONGEST_NAME} characters that can be seen"
    known = {settings.QUADERNO.name, *Client.objects.values_list("name", flat=True)}
    if name.casefold() in {other.casefold() for other in known}:
        return "this is the name of another one"
    return None


def add(client_id: str, name: str, redirect_uris: Iterable[str]) -> str:
    """Register a service that answers at `redirect_uris`, or without any, a program that uses the
    device flow; the secret of a service, which is shown only now, else "".

    Raises AccountError.
    """
    uris = list(redirect_uris)
    problems = [(f"The address {uri}", redirect_problem(uri)) for uri in uris]
    for what, problem in [*problems, (f"The name {name!r}", name_problem(name))]:
        if problem:
            raise AccountError(f"{what} cannot be used: {problem}", "Choose another one")
    if not _ID.fullmatch(client_id) or Client.objects.filter(id=client_id).exists():
        raise AccountError(f"The identifier {client_id!r} cannot be used", "Choose another one")
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


def answers_at(client: Client) -> list[str]:
    """The hosts to which people are sent back, or the schemes of their own programs."""
    parts = [urlsplit(uri) for uri in client.get_redirect_uris()]
    return sorted({part.netloc or part.scheme for part in parts})
