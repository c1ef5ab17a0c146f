"""Health, errors, and what every page knows."""

import logging
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render

from quaderno.iam import outbox
from quaderno.iam.models import User

log = logging.getLogger(__name__)


def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Answer 200 when accounts can be read, else 503."""
    try:
        User.objects.exists()
    except DatabaseError:
        log.exception("The database fails")
        return HttpResponse("The database fails\n", content_type="text/plain", status=503)
    return HttpResponse("ok\n", content_type="text/plain")


def undelivered(request: HttpRequest) -> HttpResponse:
    """Messages that could not be delivered, for this machine alone: the edge, by which all others
    come, says where from."""
    if "X-Forwarded-For" in request.headers:
        raise Http404
    return JsonResponse(outbox.undelivered())


def service(request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001
    """Template variables of every page: the service's name, its address, whom to ask."""
    config = settings.QUADERNO
    return {
        "service": {
            "name": config.name,
            "url": config.public_url,
            "contact": config.contact,
            "registration": config.iam.registration == "open",
        }
    }


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """A form that did not come from the page it belongs to, or came too late."""
    return render(request, "403_csrf.html", status=403)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """A request that no page of ours makes."""
    return render(request, "400.html", status=400)


def server_error(request: HttpRequest) -> HttpResponse:
    """A bug, or a database that fails."""
    return render(request, "500.html", status=500)
