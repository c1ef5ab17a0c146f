"""Messages that people get by e-mail, written as templates below `templates/mail`.

They are kept in the database, with the change that they tell of or not at all, and leave from
there (`outbox`): no page waits for a mail server, nor tells by its time whether it was asked.
"""

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.template.loader import render_to_string

from quaderno.iam import outbox
from quaderno.iam.models import Message, User


def send(template: str, to: str, **context: Any) -> None:
    """Have `template`, whose first line is the subject, sent as soon as the transaction is over."""
    config = settings.QUADERNO
    service = {"name": config.name, "url": config.public_url, "contact": config.contact}
    text = render_to_string(f"mail/{template}.txt", {"service": service, **context})
    subject, _, body = text.strip().partition("\n")
    Message.objects.create(
        template=template,
        to=to,
        subject=f"[{config.name}] {subject}"[:300],
        body=body.strip() + "\n",
    )
    transaction.on_commit(outbox.wake)


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
