"""Whom an access token is for, where a client says it to the token endpoint.

By `audience`, as INDIGO IAM has it (names separated by spaces), or by `resource` (RFC 8707, one URI
each time). Names are given out that the operators allow (`oidc.audiences`), and the client's own.
The hub's is for the hub alone: it opens people's storage.
"""

from http import HTTPStatus

from allauth.core.internal.httpkit import extract_basic_auth
from allauth.idp.oidc import views
from allauth.idp.oidc.internal.oauthlib.utils import extract_headers
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse


def asked(request: HttpRequest) -> list[str]:
    """The audiences that a request names, each once."""
    names = " ".join(request.POST.getlist("audience")).split()
    return list(dict.fromkeys([*names, *request.POST.getlist("resource")]))


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
    """Who it says it is; whether it is, the library finds out before it issues anything."""
    client_id, _ = extract_basic_auth(extract_headers(request))
    return client_id or request.POST.get("client_id", "")


def _refused(words: str) -> HttpResponse:
    body = {"error": "invalid_target", "error_description": words}
    return JsonResponse(body, status=HTTPStatus.BAD_REQUEST)
