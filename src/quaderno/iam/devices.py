"""The device flow (RFC 8628): a program without a browser shows a code, its owner types it here.

The library's own page takes a decision without the token of a form, so that any page in the same
browser could let a stranger's device in; this is in its place. It says who asks for what, and is
the same whether the code was typed or came in the address (`verification_uri_complete`): a code
that somebody else sent is as good as one's own, and only its owner can tell (RFC 8628, 5.4).
"""

import base64
from http import HTTPStatus
from typing import Any

from allauth.core.internal import ratelimit
from allauth.idp.oidc import views
from allauth.idp.oidc.forms import ConfirmCodeForm
from allauth.idp.oidc.internal.oauthlib import device_codes
from allauth.idp.oidc.internal.oauthlib.request_validator import OAuthLibRequestValidator
from allauth.idp.oidc.internal.oauthlib.server import OAuthLibServer
from allauth.idp.oidc.internal.oauthlib.utils import convert_response, extract_params
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from oauthlib.oauth2.rfc8628.grant_types import DeviceCodeGrant

from quaderno.iam import accounts, audiences, authorization
from quaderno.iam.adapters import OidcAdapter

_LONGEST = 4096  # bytes of a request for a code


class DeviceCodeView(views.DeviceCodeView):
    """Codes for programs, which anybody may ask for: not so many that the cache overflows."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse who asks too often or for too much, before anything is kept: for ten minutes, the
        scopes as they came."""
        if len(request.body) > _LONGEST:
            words = {"error": "invalid_request", "error_description": "This is too long."}
            return JsonResponse(words, status=HTTPStatus.BAD_REQUEST)
        limits = {"app": "allauth.idp.oidc", "action": "device_code"}
        if not ratelimit.consume(request, **limits):
            words = {"error": "temporarily_unavailable", "error_description": "Too many requests."}
            return JsonResponse(words, status=HTTPStatus.TOO_MANY_REQUESTS)
        answer: HttpResponse = super().post(request, *args, **kwargs)
        return answer


class _Validator(OAuthLibRequestValidator):
    """What oauthlib 4 asks about device codes, and the library does not answer yet."""

    def validate_device_code(self, client_id: str, code: str, request: Any) -> str | None:  # noqa: ARG002
        """Whether tokens may be issued: the library has looked at the code, and put whose it is
        into the request, before it lets oauthlib begin."""
        if getattr(request, "user", None) is None:
            return None
        if request.scope is None:
            request.scopes = self.get_default_scopes(client_id, request)
        authorized: str = DeviceCodeGrant.DEVICE_CODE_AUTHORIZED
        return authorized


class _Server(OAuthLibServer):
    """The library's, with that answer."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.device_code_grant.request_validator = _Validator()


class TokenView(audiences.TokenView):
    """Also gives tokens for device codes."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """A program without a secret may say who it is by an empty password, as oidc-agent does;
        the library looks for `client_id` (RFC 6749, 3.2.1)."""
        client_id = _without_secret(request.headers.get("Authorization", ""))
        if client_id and "client_id" not in request.POST:
            form = request.POST.copy()
            form["client_id"] = client_id
            request.POST = form  # type: ignore[assignment]
        answer: HttpResponse = super().post(request)
        return answer

    def _create_token_response(
        self, request: HttpRequest, *, user: Any = None, data: dict[str, Any] | None = None
    ) -> HttpResponse:
        """`user` is who confirmed a device code, with what is kept of it; None for other grants."""
        if user is None:
            other: HttpResponse = super()._create_token_response(request)
            return other
        server = _Server(pre_token=[lambda found: self._pre_token(found, user, data)])
        answer: HttpResponse = convert_response(
            *server.create_token_response(*extract_params(request))
        )
        return answer


def _without_secret(authorization: str) -> str:
    """Who authenticates with an empty password (HTTP Basic, RFC 7617); "" for everybody else."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except ValueError:
        return ""
    return name if scheme.lower() == "basic" and not password else ""


@login_required
def device(request: HttpRequest) -> HttpResponse:
    """Which code, then whether to let in whoever shows it; only a form of ours decides."""
    given = request.POST if request.method == "POST" else request.GET
    form = ConfirmCodeForm(given if "code" in given else None)
    form.fields["code"].label = "Code"
    if not form.is_valid():
        return render(request, "iam/device_code.html", {"form": form})
    client, code = form.client, form.cleaned_data["code"]
    scopes = _asked(form.device_code) or client.get_default_scopes()
    if request.method != "POST":
        may = sorted(OidcAdapter.scope_display.get(scope, scope) for scope in scopes)
        context = {"client": client, "code": code, "may": may}
        return render(request, "iam/device_confirm.html", context)
    confirm = request.POST.get("action") == "confirm"
    user = accounts.logged_in(request)
    if device_codes.confirm_or_deny_device_code(user, form.device_code, confirm=confirm):
        if confirm:
            authorization.remember(user, client.id, scopes)
        return render(request, "iam/device_done.html", {"client": client, "confirmed": confirm})
    return render(request, "iam/device_code.html", {"form": ConfirmCodeForm()})


def _asked(device_code: str) -> list[str]:
    """The scopes that the program asked for; none when it left them to us."""
    kept = cache.get(device_codes.cache_device_code_key(device_code)) or {}
    return list(kept.get("scope") or ())
