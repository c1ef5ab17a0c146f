"""From a request for an account to the decision on it: pages, and the messages on the way."""

from typing import Any

from allauth.account.internal.decorators import login_stage_required
from allauth.account.signals import (
    email_confirmed,
    password_changed,
    password_reset,
    password_set,
)
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from quaderno.config.identity import Policy
from quaderno.errors import AccountError
from quaderno.iam import accounts, mail, policy
from quaderno.iam.models import State, User
from quaderno.iam.stages import PolicyStage


@require_GET
def requested(request: HttpRequest) -> HttpResponse:
    """The address is confirmed; the decision is an administrator's."""
    return render(request, "iam/requested.html")


@receiver(email_confirmed)
def tell_administrators(request: HttpRequest, email_address: Any, **_: Any) -> None:
    """A request is complete when its address is confirmed."""
    if email_address.user.state == State.WAITING:
        url = request.build_absolute_uri(reverse("requests"))
        mail.send_to_administrators("request", account=email_address.user, requests_url=url)


@receiver([password_changed, password_reset, password_set])
def end_tokens(user: User, **_: Any) -> None:
    """Whoever knew the old password may have given tokens to an application."""
    accounts.end_tokens(user)


# --- the acceptable use policy


@require_GET
def policy_text(request: HttpRequest) -> HttpResponse:
    """The version in force, for everybody."""
    current = policy.current()
    if current is None:
        raise Http404
    return render(request, "iam/policy.html", _version(current))


@login_stage_required(stage=PolicyStage.key, redirect_urlname="account_login")
def accept_policy(request: HttpRequest) -> HttpResponse:
    """Between password and login: accept the version in force, or do not come in."""
    stage: PolicyStage = request._login_stage  # type: ignore[attr-defined]
    current = policy.current()
    if request.method != "POST" and current is not None:
        return render(request, "iam/policy_accept.html", _version(current))
    if request.POST.get("action") == "cancel":
        response: HttpResponse = stage.abort()
        return response
    if current is not None:
        if request.POST.get("version") != current.version:  # it changed while they read
            return redirect("policy_accept")
        policy.accept(stage.login.user, current)
    done: HttpResponse = stage.exit()
    return done


def _version(current: Policy) -> dict[str, str]:
    return {"version": current.version, "text": policy.html(current)}


# --- administrators decide


def administrators_only(user: Any) -> None:
    """Raise PermissionDenied for everybody else."""
    if not user.is_superuser:
        raise PermissionDenied


@login_required
def requests(request: HttpRequest) -> HttpResponse:
    """The requests that wait for a decision."""
    administrators_only(request.user)
    return render(request, "iam/requests.html", {"requests": accounts.requests()})


@login_required
@require_POST
def decide(request: HttpRequest, name: str) -> HttpResponse:
    """Approve or reject one request; a rejection needs a reason, which the person sees."""
    administrators_only(request.user)
    user = get_object_or_404(User, username=name)
    reason = request.POST.get("reason", "").strip()[:1000]
    try:
        if request.POST.get("action") == "approve":
            accounts.approve(user)
            messages.success(request, f"{name} is approved and can log in.")
        elif reason:
            accounts.reject(user, reason)
            messages.success(request, f"The request of {name} is rejected.")
        else:
            messages.error(request, f"Say why the request of {name} is rejected: they see it.")
    except AccountError as error:  # somebody else decided meanwhile
        messages.error(request, f"{error.message}.")
    return redirect("requests")
