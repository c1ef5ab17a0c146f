"""Messages on their way: tried until they are delivered, or too old to be of use.

One thread of the one worker process sends them, one after another. A mail server that does not
answer holds up nobody; one that refuses an address holds up no other. A message that was being
sent when the process ended is sent again.

Addresses are those of people, who gave them to us: the log does not repeat them.
"""

import logging
import smtplib
import threading
from datetime import timedelta
from email.errors import MessageError
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import close_old_connections
from django.utils import timezone

from quaderno.iam.models import Message

log = logging.getLogger(__name__)

LOOK_EVERY = 5.0  # seconds between two looks at what commands have written
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=1)
_AT_ONCE = 100  # messages of one look
# Their links are good for as long; all others matter for a few days.
_MATTERS = {"password_reset_key": timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)}
_MATTERS_ELSE = timedelta(days=3)
# These are about one message, and no reason to leave the next one. The last two are of addresses
# that are valid, and cannot be written as a header.
_OWN_PROBLEM = (
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPDataError,
    MessageError,
    ValueError,
)

_awake = threading.Event()


def wake() -> None:
    """There is something to send."""
    _awake.set()


def start() -> None:
    """Deliver for as long as this process lives."""
    threading.Thread(target=_run, name="outbox", daemon=True).start()


def _run() -> None:
    while True:
        _awake.wait(LOOK_EVERY)
        _awake.clear()
        try:
            close_old_connections()
            deliver()
        except Exception:
            log.exception("Messages could not be looked after; another look follows")


def deliver() -> None:
    """Try what is due; what has failed is due again after a while, which doubles each time."""
    due = Message.objects.filter(try_at__lte=timezone.now()).order_by("try_at", "pk")
    for message in due[:_AT_ONCE]:
        if timezone.now() - message.written_at > _MATTERS.get(message.template, _MATTERS_ELSE):
            log.error("A message (%s) is given up: %s", message.template, message.problem)
            message.delete()
            continue
        problem = _send(message)
        if problem is not None and not isinstance(problem, _OWN_PROBLEM):
            _postpone_all(problem)
            return


def _send(message: Message) -> Exception | None:
    """Deliver one; what hindered it, kept with the message, or None."""
    try:
        EmailMessage(message.subject, message.body, to=[message.to]).send()
    except (OSError, *_OWN_PROBLEM) as error:  # smtplib's errors are of the first kind
        name = type(error).__name__
        log.error("A message (%s) could not be sent: %s", message.template, name)
        tries = message.tries + 1
        pause = min(_FIRST_PAUSE * 2 ** min(tries - 1, 10), _LONGEST_PAUSE)
        # Not `save`, which brings back a message that was erased meanwhile with its account.
        Message.objects.filter(pk=message.pk).update(
            tries=tries, problem=name, try_at=timezone.now() + pause
        )
        return error
    message.delete()
    return None


def _postpone_all(problem: Exception) -> None:
    """The mail server is out of order: whatever else is due would wait for it as long."""
    Message.objects.filter(try_at__lte=timezone.now()).update(
        try_at=timezone.now() + _FIRST_PAUSE, problem=type(problem).__name__
    )


def undelivered() -> dict[str, Any]:
    """How many messages were tried in vain or wait with such, since when, and why the oldest did.

    `since` is ISO 8601; it and `problem` are None when all is well.
    """
    late = Message.objects.exclude(problem="").order_by("written_at")
    oldest = late.first()
    return {
        "messages": late.count(),
        "since": oldest.written_at.isoformat(timespec="seconds") if oldest else None,
        "problem": oldest.problem if oldest else None,
    }
