"""Groups: who is in them, who decides that, who asks to be.

Names are paths. Whoever manages `/dev` manages `/dev/ml`, too; being in one says nothing about
the other. Administrators manage all.
"""

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet

from quaderno.errors import AccountError
from quaderno.iam import mail
from quaderno.iam.models import GroupManager, MembershipRequest, State, User


def find(name: str) -> Group:
    """The group `name`; raises AccountError when there is none."""
    group = Group.objects.filter(name=name).first()
    if group is None:
        raise AccountError(f"There is no group {name!r}", "quaderno group list")
    return group


def lineage(name: str) -> list[str]:
    """`name` and all names above it: /dev/ml -> /dev, /dev/ml."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts) + 1)]


def managers(group: Group) -> QuerySet[User]:
    """Who manages `group`, by its own name or by one above it."""
    ids = GroupManager.objects.filter(group__name__in=lineage(group.name)).values("user")
    return User.objects.filter(pk__in=ids, is_active=True).order_by("username")


def manages(user: User, group: Group) -> bool:
    """Whether `user` decides who is in `group`."""
    return user.is_superuser or managers(group).filter(pk=user.pk).exists()


def managed(user: User) -> list[Group]:
    """The groups that `user` manages, by name."""
    groups = list(Group.objects.order_by("name"))
    if user.is_superuser:
        return groups
    own = set(GroupManager.objects.filter(user=user).values_list("group__name", flat=True))
    return [group for group in groups if own.intersection(lineage(group.name))]


# --- members


@transaction.atomic
def add(group: Group, user: User) -> None:
    """Make `user` a member, which grants their request if they asked."""
    user.groups.add(group)
    MembershipRequest.objects.filter(user=user, group=group).delete()


def remove(group: Group, user: User) -> None:
    """Make `user` a member no more; relying parties learn it when they next ask."""
    user.groups.remove(group)


def appoint(group: Group, user: User) -> None:
    """Let `user` manage `group` and all below."""
    GroupManager.objects.get_or_create(group=group, user=user)


def dismiss(group: Group, user: User) -> None:
    """Let `user` manage `group` no more."""
    GroupManager.objects.filter(group=group, user=user).delete()


# --- requests


def ask(group: Group, user: User, reason: str, url: str) -> None:
    """Keep that `user` wants to be in `group`, and tell who decides, at `url`.

    Raises AccountError for members and for those who asked already.
    """
    if user.groups.filter(pk=group.pk).exists():
        raise AccountError(f"You are in {group.name} already")
    request, new = MembershipRequest.objects.get_or_create(
        user=user, group=group, defaults={"reason": reason}
    )
    if not new:
        raise AccountError(f"You asked for {group.name} already")
    addresses = list(managers(group).exclude(email="").values_list("email", flat=True))
    context = {"account": user, "group": group, "reason": request.reason, "group_url": url}
    for address in addresses:
        mail.send("group_request", address, **context)
    if not addresses:
        mail.send_to_administrators("group_request", **context)


def decide(group: Group, user: User, *, admit: bool) -> None:
    """Answer a request and tell `user`; raises AccountError when there is none."""
    request = MembershipRequest.objects.filter(group=group, user=user)
    if user.state != State.ACTIVE or not request.exists():
        raise AccountError(f"{user.username} does not ask for {group.name}")
    if admit:
        add(group, user)
    request.delete()
    if user.email:
        mail.send("group_answer", user.email, group=group, admitted=admit)
