"""The administration site: for superusers, with no login form of its own."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse


class AdminSite(admin.AdminSite):
    """Sends people to the rate-limited login, which is the only place that takes passwords."""

    site_header = site_title = "Accounts"

    def has_permission(self, request: HttpRequest) -> bool:
        """Superusers only: a mere staff flag opens nothing."""
        return request.user.is_active and getattr(request.user, "is_superuser", False)

    def login(
        self,
        request: HttpRequest,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Redirect to the login page; refuse those who are logged in without the right."""
        if self.has_permission(request):
            return redirect("admin:index")
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
