"""What people do at the identity provider, from a request for an account on."""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .conftest import PASSWORD_2, link

if TYPE_CHECKING:
    from django.test import Client

    from quaderno.iam.models import User

REGISTER = "/identity/register/"
LOGIN = "/identity/login/"
USERS = "/identity/admin/iam/user/"
REQUEST = {
    "first_name": "Grace",
    "last_name": "Hopper",
    "email": "grace@example.org",
    "username": "grace",
    "password1": PASSWORD_2,
    "password2": PASSWORD_2,
    "reason": "Compilers, with Prof. Aiken",
}
POLICY = {"text": "# Be kind\n\n<b>No</b> mining.", "version": "2026-11"}


def ask(browser: "Client", **changes: str) -> Any:
    return browser.post(REGISTER, REQUEST | changes, follow=True)


def log_in(browser: "Client", login: str = "grace", password: str = PASSWORD_2) -> Any:
    return browser.post(LOGIN, {"login": login, "password": password}, follow=True)


def user(name: str = "grace") -> "User":
    from quaderno.iam.models import User

    return User.objects.get(username=name)


def opened(admin: "Client", user: "User") -> dict[str, str]:
    """What the administration's page of `user` sends back if nobody changes anything."""
    page = admin.get(f"{USERS}{user.pk}/change/").content.decode()
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', page)
    return {"email": user.email, "state": "active", "seen": seen[1] if seen else ""}


def accepted() -> list[str]:
    from quaderno.iam.models import PolicyAcceptance

    kept = PolicyAcceptance.objects.filter(user=user(), accepted_at__isnull=False)
    return list(kept.values_list("version", flat=True))


def confirmed(browser: "Client", outbox: Sequence[Any], **changes: str) -> str:
    """A request with a confirmed address; the path of the link that did it."""
    ask(browser, **changes)
    path = link(outbox[-1])
    browser.post(path)
    return path


def logged_in(browser: "Client") -> bool:
    return bool(browser.get("/identity/").status_code == 200)


def manage(command: str, *arguments: str) -> str:
    from django.core.management import call_command

    output = io.StringIO()
    call_command(command, *arguments, stdout=output)
    return output.getvalue().strip()
