"""What holds for every request and response."""

from collections.abc import Callable
from urllib.parse import urlsplit

from allauth.idp.oidc.models import Client
from django.conf import settings
from django.http import HttpRequest, HttpResponse

Handler = Callable[[HttpRequest], HttpResponse]


def public_address(get_response: Handler) -> Handler:
    """Make every request one to the configured URL, whatever its headers say.

    The links in discovery, the origin that forms must come from and the keys of rate limits all
    derive from the address of a request, and Host may name any port. Hosts that are not in
    ALLOWED_HOSTS are still refused.
    """
    url = urlsplit(settings.QUADERNO.iam_url)
    default_port = {"http": 80, "https": 443}[url.scheme]
    host = url.netloc.removesuffix(f":{default_port}")

    def middleware(request: HttpRequest) -> HttpResponse:
        request.get_host()
        request.META["HTTP_HOST"] = host
        request.META["wsgi.url_scheme"] = url.scheme
        return get_response(request)

    return middleware


def content_security(get_response: Handler) -> Handler:
    """Confine pages to this origin's own files, without inline scripts or styles.

    Pages are not cached: they are about one person, and carry tokens of forms.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.get("Content-Type", "").startswith("text/html"):
            response["Content-Security-Policy"] = (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                "font-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
                f"form-action 'self' {' '.join(client_origins())}"
            )
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    return middleware


def client_origins() -> list[str]:
    """Origins of the registered clients' redirect URIs.

    The consent form's answer redirects there, and browsers hold redirects of a form against
    `form-action` too (Content Security Policy Level 3, section 6.4.1).
    """
    uris = "\n".join(Client.objects.values_list("redirect_uris", flat=True)).split()
    parts = [urlsplit(uri) for uri in uris]
    return sorted(
        {f"{part.scheme}://{part.netloc}" if part.netloc else f"{part.scheme}:" for part in parts}
    )
