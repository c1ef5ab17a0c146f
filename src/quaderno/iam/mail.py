"""Messages that people get by e-mail, written as templates below `templates/mail`.

A service that cannot send says so where somebody can act on it: in the log, and on the page.
"""

import logging
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string

from quaderno.iam.models import User

log = logging.getLogger(__name__)


def send(template: str, to: str, **context: Any) -> bool:
    """Send `template`, whose first line is the subject; False when it cannot be sent.

    Addresses are those of people, who gave them to us: the log does not repeat them.
    """
    config = settings.QUADERNO
    service = {"name": config.name, "url": config.public_url, "contact": config.contact}
    text = render_to_string(f"mail/{template}.txt", {"service": service, **context})
    subject, _, body = text.strip().partition("\n")
    message = EmailMessage(f"[{config.name}] {subject}", body.strip() + "\n", to=[to])
    try:
        message.send()
    except OSError as error:  # smtplib's errors among them
        log.error("A message (%s) could not be sent: %s", template, type(error).__name__)
        return False
    return True


def send_to_administrators(template: str, **context: Any) -> None:
    """Send `template` to every administrator who has an address."""
    for address in _administrators():
        send(template, address, **context)


def _administrators() -> Iterable[str]:
    return (
        User.objects.filter(is_superuser=True, is_active=True)
        .exclude(email="")
        .values_list("email", flat=True)
    )
