"""The acceptable use policy: who accepted which version, and the text for pages."""

from django.conf import settings
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt

from quaderno.config.identity import Policy
from quaderno.iam.models import PolicyAcceptance, User


def current() -> Policy | None:
    """The policy in force; None where there is none."""
    policy: Policy = settings.QUADERNO.iam.policy
    return policy if policy.text.strip() else None


def html(policy: Policy) -> SafeString:
    """The text for a page. Markup in the source is shown, not used: only Markdown counts."""
    rendered: str = MarkdownIt("commonmark", {"html": False}).render(policy.text)
    return SafeString(rendered)


def must_accept(user: User) -> bool:
    """Whether `user` has yet to accept the version in force."""
    policy = current()
    return policy is not None and not accepted(user, policy.version)


def accepted(user: User, version: str) -> bool:
    """Whether `user` accepted `version` some time."""
    return PolicyAcceptance.objects.filter(user=user, version=version).exists()


def accept(user: User, policy: Policy) -> None:
    """Keep that `user` accepts this version now; the first time counts."""
    PolicyAcceptance.objects.get_or_create(user=user, version=policy.version)
