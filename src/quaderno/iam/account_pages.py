"""Pages of one's own account; passwords, keys and sessions are django-allauth's."""

from allauth.account.decorators import reauthentication_required
from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from quaderno.errors import AccountError
from quaderno.iam import accounts, authorization


@login_required
def account(request: HttpRequest) -> HttpResponse:
    """What is known about the person who is logged in, and what they may change."""
    user = accounts.logged_in(request)
    context = {"second_step": is_mfa_enabled(user)}
    if user.is_superuser:
        context["waiting"] = accounts.requests().count()
    return render(request, "iam/account.html", context)


@login_required
def applications(request: HttpRequest) -> HttpResponse:
    """The applications that one let in, each with a button to shut it out."""
    user = accounts.logged_in(request)
    if request.method == "POST":
        authorization.revoke(user, request.POST.get("client", ""))
        messages.success(request, "It has no access any more, and asks when you next use it.")
        return redirect("applications")
    return render(
        request, "iam/applications.html", {"applications": authorization.applications(user)}
    )


@login_required
@reauthentication_required
def delete(request: HttpRequest) -> HttpResponse:
    """Erase one's account, after its name was typed."""
    user = accounts.logged_in(request)
    if request.method != "POST":
        return render(request, "iam/delete.html")
    if request.POST.get("username") != user.username:
        messages.error(request, "This is not your username. Nothing is deleted.")
        return redirect("account_delete")
    try:
        accounts.erase(user)
    except AccountError as error:
        messages.error(request, f"{error}.")
        return redirect("account_delete")
    logout(request)
    return redirect("account_deleted")


@require_GET
def deleted(request: HttpRequest) -> HttpResponse:
    """Good-bye."""
    return render(request, "iam/deleted.html")
