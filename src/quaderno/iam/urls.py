"""Every address, and no other: the pages with a session are below /identity/.

The session's cookie is limited to that path where the hub shares the host name.
"""

from allauth.account import views as account_views
from allauth.usersessions import views as session_views
from django.contrib import admin
from django.db import transaction
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import RedirectView

from quaderno.iam import (
    account_pages,
    authorization,
    client_registration,
    devices,
    group_pages,
    registration,
    views,
)

handler400 = views.bad_request
handler500 = views.server_error

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="account")),
    path("healthz", views.healthz),
    path("undelivered", views.undelivered),
    path("identity/", account_pages.account, name="account"),
    path("identity/email/", account_views.email, name="account_email"),
    path("identity/sessions/", session_views.list_usersessions, name="usersessions_list"),
    path("identity/applications/", account_pages.applications, name="applications"),
    path("identity/delete/", account_pages.delete, name="account_delete"),
    path("identity/deleted/", account_pages.deleted, name="account_deleted"),
    path("identity/second-step/", include("allauth.mfa.urls")),
    path("identity/login/", account_views.login, name="account_login"),
    path("identity/logout/", account_views.logout, name="account_logout"),
    path("identity/register/", account_views.signup, name="account_signup"),
    path(
        "identity/register/sent/",
        account_views.email_verification_sent,
        name="account_email_verification_sent",
    ),
    path("identity/register/requested/", registration.requested, name="account_requested"),
    re_path(
        r"^identity/confirm/(?P<key>[-:\w]+)/$",
        account_views.confirm_email,
        name="account_confirm_email",
    ),
    path("identity/policy/", registration.policy_text, name="policy"),
    path("identity/policy/accept/", registration.accept_policy, name="policy_accept"),
    path("identity/reset/", account_views.password_reset, name="account_reset_password"),
    path(
        "identity/reset/sent/",
        account_views.password_reset_done,
        name="account_reset_password_done",
    ),
    re_path(
        r"^identity/reset/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        account_views.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "identity/reset/done/",
        account_views.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path("identity/requests/", registration.requests, name="requests"),
    path("identity/requests/<str:name>/", registration.decide, name="decide"),
    path("identity/reauthenticate/", account_views.reauthenticate, name="account_reauthenticate"),
    path("identity/password/", account_views.password_change, name="account_change_password"),
    path("identity/groups/", group_pages.overview, name="groups"),
    path("identity/groups/ask/", group_pages.ask, name="group_ask"),
    path("identity/groups/create/", group_pages.create, name="group_create"),
    path("identity/groups/of/<path:path>/", group_pages.detail, name="group"),
    path("identity/admin/", admin.site.urls),
    path("identity/o/authorize", authorization.AuthorizationView.as_view()),
    # One token request at a time: a code or a refresh token is spent once, however many ask.
    path("identity/o/api/token", transaction.atomic(csrf_exempt(devices.TokenView.as_view()))),
    path("identity/o/device", devices.device, name="device"),
    path("identity/o/api/device/code", devices.DeviceCodeView.as_view()),
    path(
        "identity/o/api/clients",
        csrf_exempt(client_registration.View.as_view()),
        name="client_registration",
    ),
    path("", include("allauth.idp.urls")),
]
