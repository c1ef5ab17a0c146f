"""Why a server did not start: one sentence for the person, the details for the log.

Both carry the same reference, so that a person can tell an operator which lines to look at.
"""

import logging
import secrets
from http import HTTPStatus

from jupyterhub.spawner import SpawnException

# The reason of the exception that shows the form in place of a start.
SUGGESTION = "suggestion"


class StartFailure(SpawnException):
    """A start that failed for a known reason.

    `reason` is a word for the metrics; `details` go to the hub's log and never to the person.
    """

    def __init__(
        self,
        sentence: str,
        *,
        reason: str,
        details: str = "",
        status: HTTPStatus = HTTPStatus.BAD_REQUEST,
    ) -> None:
        if details:
            reference = secrets.token_hex(3)
            sentence = f"{sentence} (Reference {reference}.)"
            details = f"[{reference}] {details}"
        super().__init__(sentence, reason=reason, status_code=status, log_message=details)
        # What JupyterHub's pages and progress events show of an exception.
        self.jupyterhub_message = sentence


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
