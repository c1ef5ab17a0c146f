"""Why a server did not start: plain words and advice for the person, the details for the log.

Every failure is a cause with an id: `pull_failures` has those of images that are fetched,
`start_failures` the rest. What a person reads and what the log has carry the same reference, so
that a person can tell an operator which lines to look at.
"""

import html
import logging
import secrets
from dataclasses import dataclass
from http import HTTPStatus

from jupyterhub.spawner import SpawnException

# The id of the exception that shows the form in place of a start.
SUGGESTION = "suggestion"
_SAID = "What the server said last:"


@dataclass(frozen=True)
class Cause:
    """A kind of failure.

    `id` is a word for metrics and log; `sentence` says what happened, without its full stop, with
    what it happened to in braces; `advice` says what to do. `again` when a new try may help by
    itself; `later` when one that the person makes may.
    """

    id: str
    sentence: str
    advice: str
    again: bool = False
    later: bool = False
    status: HTTPStatus = HTTPStatus.BAD_REQUEST

    def says(self, **about: object) -> str:
        """What happened; no full stop."""
        return self.sentence.format(**about)

    def failure(
        self, details: str = "", *, tries: int = 1, lines: str = "", **about: object
    ) -> "StartFailure":
        """The end of a start, after `tries`; `lines` are what the server said last."""
        often = f" (tried {tries} times)" if tries > 1 else ""
        failure = StartFailure(
            f"{self.says(**about)}{often}. {self.advice}",
            reason=self.id,
            details=details or self.says(**about),
            status=self.status,
            lines=lines,
        )
        failure.cause, failure.tries = self, tries
        failure.about = about
        return failure


class StartFailure(SpawnException):
    """A start that failed for a known reason.

    `reason` is the cause's id; `details` go to the hub's log and never to the person; `lines` are
    what the server said last, for both, and hold no secret.
    """

    cause: Cause | None = None
    tries = 1

    def __init__(
        self,
        sentence: str,
        *,
        reason: str,
        details: str = "",
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
        lines: str = "",
    ) -> None:
        self.details, self.lines = details, lines
        self.about: dict[str, object] = {}
        if details:
            reference = secrets.token_hex(3)
            sentence = f"{sentence} (Reference {reference}.)"
            said = "".join(f"\n  | {line}" for line in lines.splitlines())
            details = f"[{reference}] {details}{said}"
        super().__init__(sentence, reason=reason, status_code=status, log_message=details)
        self.sentence = sentence
        # What JupyterHub's pages, API and progress events show of an exception.
        self.jupyterhub_message = sentence
        if lines:
            self.jupyterhub_message = f"{sentence}\n{_SAID}\n{lines}"
            self.jupyterhub_html_message = _with_lines(sentence, lines)

    @property
    def said(self) -> str:
        """What happened, without advice and full stop."""
        return self.cause.says(**self.about) if self.cause else str(self.message).rstrip(".")

    @property
    def may_pass(self) -> bool:
        """Whether a new try may help by itself; not when that has been tried."""
        return self.cause is not None and self.cause.again and self.tries == 1

    @property
    def retry_helps(self) -> bool:
        """Whether the same start may succeed later."""
        return self.cause is not None and (self.cause.again or self.cause.later)

    def after(self, tries: int) -> "StartFailure":
        """The same, for the last of `tries`."""
        if self.cause is None or tries == self.tries:
            return self
        return self.cause.failure(self.details, tries=tries, lines=self.lines, **self.about)


def _with_lines(sentence: str, lines: str) -> str:
    """HTML that may stand in a paragraph."""
    return (
        f'{html.escape(sentence)} <span class="q-said">{_SAID}</span>'
        f'<code class="q-lines" tabindex="0">{html.escape(lines)}</code>'
    )


class WithoutTraces(logging.Filter):
    """Logs a start that failed for a known reason in one line: JupyterHub would add where in the
    code each mistyped option was noticed."""

    def filter(self, record: logging.LogRecord) -> bool:
        failure = record.exc_info[1] if record.exc_info else None
        if isinstance(failure, StartFailure):
            if failure.reason == SUGGESTION:
                return False  # nothing has failed: a link filled in the form
            record.msg, record.args = f"{record.getMessage()}: {failure}", ()
            record.exc_info = None
        return True
