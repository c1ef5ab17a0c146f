"""Every address, and no other: the pages with a session are below /identity/.

The session's cookie is limited to that path where the hub shares the host name.
"""

from allauth.account import views as account_views
from allauth.idp.oidc import views as oidc_views
from django.contrib import admin
from django.db import transaction
from django.urls import include, path
from django.views.generic import RedirectView

from quaderno.iam import views

handler400 = views.bad_request
handler500 = views.server_error

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="account")),
    path("healthz", views.healthz),
    path("identity/", views.account, name="account"),
    path("identity/login/", account_views.login, name="account_login"),
    path("identity/logout/", account_views.logout, name="account_logout"),
    path("identity/inactive/", account_views.account_inactive, name="account_inactive"),
    path("identity/reauthenticate/", account_views.reauthenticate, name="account_reauthenticate"),
    path("identity/password/", account_views.password_change, name="account_change_password"),
    path("identity/admin/", admin.site.urls),
    # One token request at a time: a code or a refresh token is spent once, however many ask.
    path("identity/o/api/token", transaction.atomic(oidc_views.token)),
    # The library confirms a device without a CSRF token, so devices stay out.
    path("identity/o/device", views.not_found),
    path("identity/o/api/device/code", views.not_found),
    path("", include("allauth.idp.urls")),
]
