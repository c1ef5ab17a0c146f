"""Pages of groups: one's own, those one may ask for, and those one manages."""

from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from quaderno.errors import AccountError
from quaderno.iam import accounts, groups
from quaderno.iam.models import GroupManager, MembershipRequest, User

Action = Callable[[Group, User], None]

_ACTIONS: dict[str, tuple[Action, str]] = {
    "add": (groups.add, "{user} is in {group} now."),
    "remove": (groups.remove, "{user} is not in {group} any more."),
    "admit": (lambda g, u: groups.decide(g, u, admit=True), "{user} is in {group} now."),
    "decline": (lambda g, u: groups.decide(g, u, admit=False), "{user} stays out of {group}."),
    "appoint": (groups.appoint, "{user} manages {group} now."),
    "dismiss": (groups.dismiss, "{user} does not manage {group} any more."),
}
_ADMINISTRATORS_ACTIONS = ("appoint", "dismiss")


@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """One's own groups, those one manages, and the rest, which one may ask for."""
    user = accounts.logged_in(request)
    asked = MembershipRequest.objects.filter(user=user)
    context = {
        "own": user.groups.order_by("name"),
        "asked": asked.select_related("group").order_by("group__name"),
        "managed": groups.managed(user),
        "others": Group.objects.exclude(pk__in=user.groups.values("pk"))
        .exclude(pk__in=asked.values("group"))
        .order_by("name"),
    }
    return render(request, "iam/groups.html", context)


@login_required
@require_POST
def ask(request: HttpRequest) -> HttpResponse:
    """Ask to be in a group."""
    group = get_object_or_404(Group, name=request.POST.get("group", ""))
    reason = request.POST.get("reason", "").strip()[:1000]
    url = request.build_absolute_uri(reverse("group", args=[group.name[1:]]))
    if not reason:
        messages.error(request, f"Say why you want to be in {group.name}.")
        return redirect("groups")
    try:
        groups.ask(group, accounts.logged_in(request), reason, url)
    except AccountError as error:
        messages.error(request, f"{error.message}.")
    else:
        messages.success(request, f"Whoever manages {group.name} decides now.")
    return redirect("groups")


@login_required
@require_POST
def create(request: HttpRequest) -> HttpResponse:
    """Make a group; for administrators."""
    if not accounts.logged_in(request).is_superuser:
        raise PermissionDenied
    try:
        group = accounts.ensure_group(request.POST.get("group", "").strip())
    except AccountError as error:
        messages.error(request, f"{error.message}.")
        return redirect("groups")
    return redirect("group", group.name[1:])


@login_required
def detail(request: HttpRequest, path: str) -> HttpResponse:
    """The members of a group, and who asks to be one; for its managers."""
    group = Group.objects.filter(name=f"/{path}").first()
    if group is None or not groups.manages(accounts.logged_in(request), group):
        raise PermissionDenied  # the same for both: managers of others need not know names
    if request.method == "POST":
        _act(request, group)
        return redirect("group", path)
    context = {
        "group": group,
        "members": User.objects.filter(groups=group).order_by("username"),
        "managers": groups.managers(group),
        "own_managers": set(
            GroupManager.objects.filter(group=group).values_list("user_id", flat=True)
        ),
        "requests": MembershipRequest.objects.filter(group=group, user__is_active=True)
        .select_related("user")
        .order_by("asked_at"),
    }
    return render(request, "iam/group.html", context)


def _act(request: HttpRequest, group: Group) -> None:
    """What a manager's form says; raises PermissionDenied for what only administrators do."""
    name, action = request.POST.get("user", "").strip(), request.POST.get("action", "")
    if action not in _ACTIONS:
        return
    if action in _ADMINISTRATORS_ACTIONS and not accounts.logged_in(request).is_superuser:
        raise PermissionDenied
    do, said = _ACTIONS[action]
    try:
        do(group, accounts.find(name))
        messages.success(request, said.format(user=name, group=group.name))
    except AccountError as error:
        messages.error(request, f"{error.message}.")
