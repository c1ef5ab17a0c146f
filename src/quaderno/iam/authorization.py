"""Which applications may know and do what: asked once, remembered, taken back by its owner."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from allauth.idp.oidc import views
from allauth.idp.oidc.internal.oauthlib.server import get_server
from allauth.idp.oidc.internal.oauthlib.utils import extract_params
from allauth.idp.oidc.models import Client, Token
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from oauthlib.oauth2.rfc6749.errors import OAuth2Error
from oauthlib.openid.connect.core.exceptions import ConsentRequired

from quaderno.iam.adapters import OidcAdapter
from quaderno.iam.client_rules import answers_at
from quaderno.iam.models import Consent, User


class AuthorizationView(views.AuthorizationView):
    """The library's page, shown when an application asks for more than it was given."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Answer at once what was answered before, unless the application wants to ask again.

        A valid request renders the library's form; everything else is its to answer.
        """
        if refused := _refused_silently(request):
            return refused
        response: HttpResponse = super().get(request, *args, **kwargs)
        if not isinstance(response, TemplateResponse) or "form" not in (
            response.context_data or {}
        ):
            return response
        if "consent" in (self._request_info.get("prompt") or ()) or self._new_scopes():
            return response
        form = self.form_class(**self.get_form_kwargs() | {"data": self._remembered()})
        form.full_clean()
        granted: HttpResponse = self.form_valid(form)
        return granted

    def _remembered(self) -> dict[str, Any]:
        return {"scopes": self._scopes, "request": "answered before"}

    def _new_scopes(self) -> list[str]:
        known = given(self.request.user, self._request_info["client_id"])
        return [scope for scope in self._scopes if scope not in known]

    def form_valid(self, form: Any) -> HttpResponse:
        """Remember what was granted on the page."""
        if self.request.method == "POST":
            remember(
                self.request.user, self._request_info["client_id"], form.cleaned_data["scopes"]
            )
        response: HttpResponse = super().form_valid(form)
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Which of the scopes are new to somebody who granted others before, and where the answer
        goes: an application that registered itself has chosen its name."""
        context: dict[str, Any] = super().get_context_data(**kwargs)
        new = self._new_scopes()
        new_scopes = new if len(new) < len(self._scopes) else []
        return context | {"new_scopes": new_scopes, "answers_at": answers_at(context["client"])}


def _refused_silently(request: HttpRequest) -> HttpResponse | None:
    """The answer to `prompt=none` (OpenID Connect Core 1.0, 3.1.2.6) where what was given to this
    very application does not cover it: the library is content with what any application holds.

    None when the library may answer, invalid requests included.
    """
    if "none" not in request.GET.get("prompt", "").split():
        return None
    try:
        scopes, found = get_server().validate_authorization_request(*extract_params(request))
    except (OAuth2Error, ValidationError):
        return None
    client = found["request"].client
    if client.skip_consent or set(scopes) <= set(given(request.user, client.id)):
        return None
    error = ConsentRequired(request=found["request"])
    # An application's address, which the library has checked, may be of any scheme.
    return HttpResponse(status=302, headers={"Location": error.in_uri(error.redirect_uri)})


def given(user: Any, client_id: str) -> list[str]:
    """The scopes that `user` granted an application."""
    consent = Consent.objects.filter(user=user, client_id=client_id).first()
    return consent.scopes if consent else []


@transaction.atomic
def remember(user: Any, client_id: str, scopes: Iterable[str]) -> None:
    """Add `scopes` to what `user` granted an application."""
    known = given(user, client_id)
    Consent.objects.update_or_create(
        user=user,
        client_id=client_id,
        defaults={"scopes": sorted({*known, *scopes}), "given_at": timezone.now()},
    )


# --- for the person


@dataclass(frozen=True)
class Application:
    """One that somebody let in: `since` is None when only its tokens say so."""

    id: str
    name: str
    may: list[str]
    since: datetime | None


def applications(user: User) -> list[Application]:
    """Those that hold a consent or a token of `user`, by name."""
    clients = Client.objects.filter(Q(consent__user=user) | Q(token__user=user)).distinct()
    consents = {consent.client_id: consent for consent in Consent.objects.filter(user=user)}
    return [_application(client, consents.get(client.id)) for client in clients.order_by("name")]


def _application(client: Any, consent: Consent | None) -> Application:
    scopes = consent.scopes if consent else client.get_scopes()
    may = sorted(OidcAdapter.scope_display.get(scope, scope) for scope in scopes)
    return Application(client.id, client.name, may, consent.given_at if consent else None)


@transaction.atomic
def revoke(user: User, client_id: str) -> None:
    """Take the consent back; the application's tokens end, access tokens when they expire."""
    Consent.objects.filter(user=user, client_id=client_id).delete()
    Token.objects.filter(user=user, client_id=client_id).delete()
