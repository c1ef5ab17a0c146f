"""What an application may be called, ask for, and where it may have people sent: the same rules for
those that operators and administrators register and for those that register themselves."""

import re
from urllib.parse import urlsplit

from allauth.idp.oidc.models import Client
from django.conf import settings

LONGEST_NAME = 60  # characters
GRANTS = {
    Client.GrantType.AUTHORIZATION_CODE.value,
    Client.GrantType.REFRESH_TOKEN.value,
    Client.GrantType.DEVICE_CODE.value,
}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,63}", re.ASCII)
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


def id_problem(client_id: str) -> str | None:
    """Why `client_id` cannot identify a new application."""
    if not _ID.fullmatch(client_id):
        return "an identifier has 3 to 64 letters, digits, dots, underscores and hyphens"
    if Client.objects.filter(id=client_id).exists():
        return "there is one with it"
    return None


def name_problem(name: str, of: Client | None = None) -> str | None:
    """Why an application cannot be called `name`, which people read when they decide. `of` is the
    one that it is the name of already, if any."""
    if not 3 <= len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
        return f"a name has 3 to {LONGEST_NAME} characters that can be seen"
    others = Client.objects.exclude(pk=of.pk) if of else Client.objects.all()
    known = {settings.QUADERNO.name, *others.values_list("name", flat=True)}
    if name.casefold() in {other.casefold() for other in known}:
        return "this is the name of another one"
    return None


def answers_at(client: Client) -> list[str]:
    """The hosts to which people are sent back, or the schemes of their own programs."""
    parts = [urlsplit(uri) for uri in client.get_redirect_uris()]
    return sorted({part.netloc or part.scheme for part in parts})
