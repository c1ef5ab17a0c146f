"""Whom an access token is for, where a client says it to the token endpoint.

By `audience`, as INDIGO IAM has it (names separated by spaces), or by `resource` (RFC 8707, one URI
each time). Names are given out that the operators allow (`oidc.audiences`), and the client's own.
The hub's is for the hub alone: it opens people's storage.
"""

from http import HTTPStatus

from allauth.core.internal.httpkit import extract_basic_auth
from allauth.idp.oidc import views
from allauth.idp.oidc.internal.oauthlib.utils import extract_headers
from allauth.idp.oidc.internal.resources import InvalidTargetError
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse


def asked(request: HttpRequest) -> list[str]:
    """The audiences that a request names, each once."""
    names = " ".join(request.POST.getlist("audience")).split()
    return list(dict.fromkeys([*names, *request.POST.getlist("resource")]))


def granted(request: HttpRequest, client_id: str) -> list[str]:
    """Whom the token is for that `client_id`, which has shown who it is, gets: itself, unless it
    names others. Raises InvalidTargetError."""
    names = asked(request) or [client_id]
    if not set(names) <= {*settings.QUADERNO.oidc.audiences, client_id}:
        raise InvalidTargetError
    return names


class TokenView(views.TokenView):
    """The library's, which knows `resource` alone and issues it for whatever is asked."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """Refuse what is not allowed as RFC 8707 says, before anything is spent."""
        allowed = {*settings.QUADERNO.oidc.audiences, _client_id(request)}
        if not set(asked(request)) <= allowed:
            return _refused("This audience is not given out here.")
        try:
            answer: HttpResponse = super().post(request)
        except ValidationError as error:
            return _refused(str(error.message))
        return answer


def _client_id(request: HttpRequest) -> str:
    """Who it says it is, in a header or else the form. The library may go by the form, so that
    `granted` looks again."""
    client_id, _ = extract_basic_auth(extract_headers(request))
    return client_id or request.POST.get("client_id", "")


def _refused(words: str) -> HttpResponse:
    body = {"error": "invalid_target", "error_description": words}
    return JsonResponse(body, status=HTTPStatus.BAD_REQUEST)
