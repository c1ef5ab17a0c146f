"""Applications that register themselves (RFC 7591), where `iam.client_registration` allows it.

Each needs a token of an operator's, which is good once. What it may be is less than what operators
may register: it gets codes, and codes only, for scopes that are known, at addresses of its own.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.idp.oidc import views
from allauth.idp.oidc.models import Client, Token
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse

from quaderno.iam.client_rules import (
    GRANTS,
    LONGEST_NAME,
    answers_at,
    name_problem,
    redirect_problem,
)

_MOST_ADDRESSES = 10


def is_open() -> bool:
    """Whether applications may register themselves."""
    return bool(settings.QUADERNO.iam.client_registration == "token")


class View(views.ClientRegistrationView):
    """The library's, which asks for the token; `check` is what it asks last."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Not there unless it was opened; what it says is for its caller alone."""
        if not is_open():
            raise Http404
        answer: HttpResponse = super().dispatch(request, *args, **kwargs)
        answer["Cache-Control"] = "no-store"
        return answer


def check(client: Client, metadata: dict[str, Any], token: Token | None, known: set[str]) -> None:
    """Make `client` what it may be, of the `known` scopes, and spend the token.

    Raises ValidationError, or ImmediateHttpResponse about addresses.
    """
    logout = _addresses(metadata.get("post_logout_redirect_uris") or [])
    # As they came: kept ones are what lies between line breaks.
    _check_addresses([*metadata["redirect_uris"], *logout])
    if set(client.get_grant_types()) - GRANTS or client.get_response_types() != ["code"]:
        raise ValidationError("Only codes are given: no other grants, and no other answers.")
    scopes = [scope for scope in client.get_scopes() if scope in known]
    if not scopes:
        raise ValidationError("None of the scopes is known here.")
    client.name = client.name or ", ".join(answers_at(client))[:LONGEST_NAME]
    if problem := name_problem(client.name):
        raise ValidationError(f"The name cannot be used: {problem}.")
    client.set_scopes(scopes)
    client.set_default_scopes(scopes)
    client.skip_consent = client.allow_uri_wildcards = False
    client.data = {"dcr": True, "client_metadata": {"post_logout_redirect_uris": logout}}
    if token is None:  # the library has asked for one
        raise ValidationError("An initial access token is needed.")
    # Of two requests at the same time both have found it.
    deleted, _ = Token.objects.filter(pk=token.pk).delete()
    if not deleted:
        raise ValidationError("This initial access token was used already.")


def _addresses(found: Any) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(uri, str) for uri in found):
        raise ValidationError("post_logout_redirect_uris must be an array of strings.")
    return found


def _check_addresses(uris: Iterable[str]) -> None:
    uris = list(uris)
    problems = [f"{uri!r} cannot be used: {why}" for uri in uris if (why := redirect_problem(uri))]
    if len(uris) > _MOST_ADDRESSES:
        problems.append(f"There are more than {_MOST_ADDRESSES} addresses")
    if problems:
        body = {"error": "invalid_redirect_uri", "error_description": f"{problems[0]}."}
        raise ImmediateHttpResponse(JsonResponse(body, status=HTTPStatus.BAD_REQUEST))
