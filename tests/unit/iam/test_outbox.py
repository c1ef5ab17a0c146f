"""Messages wait in the database until a mail server takes them."""

import smtplib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from .people import ask

if TYPE_CHECKING:
    from django.test import Client

    from quaderno.iam.models import Message

pytestmark = pytest.mark.usefixtures("registration_open")
DISCONNECTED = smtplib.SMTPServerDisconnected("grace@example.org: no")
REFUSED = smtplib.SMTPRecipientsRefused({"grace@example.org": (550, b"who?")})


class MailServer:
    """Takes messages, or fails as `problem` says, for those to `refused` or for all."""

    def __init__(self) -> None:
        self.problem: OSError | None = None
        self.refused: str | None = None
        self.asked: list[str] = []
        self.taken: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def send_messages(self, messages: Any) -> int:
        (to,) = messages[0].to
        messages[0].message().as_bytes()  # as what is sent
        self.asked.append(to)
        self.meanwhile()
        if self.problem and self.refused in (None, to):
            raise self.problem
        self.taken.append(to)
        return 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> MailServer:
    server = MailServer()
    place = "django.core.mail.backends.locmem.EmailBackend.send_messages"
    monkeypatch.setattr(place, lambda _, messages: server.send_messages(messages))
    return server


def waiting() -> "list[Message]":
    from quaderno.iam.models import Message

    return list(Message.objects.order_by("pk"))


def look(later: timedelta = timedelta(0)) -> None:
    """What the thread does, `later`: as if everything had been written and tried earlier."""
    from quaderno.iam import outbox

    for message in waiting():
        message.written_at -= later
        message.try_at -= later
        message.save()
    outbox.deliver()


def write(count: int = 1) -> None:
    from quaderno.iam import mail

    for number in range(count):
        mail.send("changed", f"p{number}@example.org", what="Something was changed")


def test_no_page_waits_for_a_mail_server(browser: "Client", server: MailServer) -> None:
    server.problem = DISCONNECTED
    assert ask(browser).status_code == 200
    assert server.asked == []
    assert [message.to for message in waiting()] == ["grace@example.org"]


def test_what_fails_is_tried_again_and_then_forgotten(
    browser: "Client", server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.problem = DISCONNECTED
    ask(browser)
    look()
    assert "grace@example.org" not in caplog.text
    assert "SMTPServerDisconnected" in caplog.text
    look()
    assert len(server.asked) == 1, "not at once"
    look(timedelta(minutes=1))
    look(timedelta(minutes=1))
    assert len(server.asked) == 2, "the second pause is longer"
    server.problem = None
    look(timedelta(minutes=2))
    assert server.taken == ["grace@example.org"]
    assert waiting() == []
    assert "/identity/" not in caplog.text, "links are secrets"


def test_a_server_that_is_down_is_asked_once(server: MailServer) -> None:
    write(3)
    server.problem = DISCONNECTED
    look()
    assert len(server.asked) == 1
    server.problem = None
    look(timedelta(minutes=1))
    assert sorted(server.taken) == ["p0@example.org", "p1@example.org", "p2@example.org"]


def test_an_address_that_is_refused_holds_up_no_other(server: MailServer) -> None:
    write(3)
    server.problem, server.refused = REFUSED, "p0@example.org"
    look()
    assert server.taken == ["p1@example.org", "p2@example.org"]
    assert [message.to for message in waiting()] == ["p0@example.org"]


def test_what_is_erased_while_it_is_sent_does_not_come_back(server: MailServer) -> None:
    write()
    server.problem = REFUSED
    server.meanwhile = waiting()[0].delete
    look()
    assert server.asked == ["p0@example.org"]
    assert waiting() == []


def test_an_address_that_is_no_header_holds_up_no_other(
    browser: "Client", server: MailServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may give such a one, and it is valid (RFC 5321, 4.1.2)."""
    assert ask(browser, email='"a\x0bb:c"@example.org').status_code == 200
    write(2)
    look()
    assert server.taken == ["p0@example.org", "p1@example.org"]
    assert len(waiting()) == 1
    assert "HeaderParseError" in caplog.text


@pytest.mark.parametrize(
    ("path", "form", "life"),
    [
        ("/identity/reset/", {"email": "ada@example.org"}, timedelta(hours=1)),
        ("/identity/reset/", {"email": "nobody@example.org"}, timedelta(days=3)),
    ],
)
def test_what_is_of_no_use_any_more_is_given_up(
    browser: "Client", admin: "Client", server: MailServer, path: str, form: Any, life: timedelta
) -> None:
    browser.post(path, form)
    server.problem = DISCONNECTED
    look()
    look(life - timedelta(minutes=1))
    assert len(waiting()) == 1
    look(timedelta(minutes=2))
    assert waiting() == []


def test_operators_see_what_is_not_delivered(browser: "Client", server: MailServer) -> None:
    write(2)
    nothing = {"messages": 0, "since": None, "problem": None}
    assert browser.get("/undelivered").json() == nothing, "they have just been written"
    server.problem = DISCONNECTED
    look()
    found = browser.get("/undelivered").json()
    assert (found["messages"], found["problem"]) == (2, "SMTPServerDisconnected")
    assert found["since"] == waiting()[0].written_at.isoformat(timespec="seconds")
    assert "example.org" not in str(found)
    by_the_edge = browser.get("/undelivered", headers={"X-Forwarded-For": "192.0.2.7"})
    assert by_the_edge.status_code == 404
    server.problem = None
    look(timedelta(minutes=1))
    assert browser.get("/undelivered").json() == nothing


def test_the_real_message(browser: "Client", outbox: Sequence[Any]) -> None:
    ask(browser)
    assert outbox[-1].to == ["grace@example.org"]
    assert outbox[-1].subject == "[Notes & Co] Confirm your e-mail address"
    assert waiting() == []
