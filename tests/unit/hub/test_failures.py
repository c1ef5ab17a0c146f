import logging
import sys
from http import HTTPStatus

import pytest

from quaderno.hub.failures import SUGGESTION, StartFailure, WithoutTraces


def test_person_and_log_share_a_reference() -> None:
    failure = StartFailure("It broke.", reason="engine", details="socket: refused")
    reference = failure.jupyterhub_message.removeprefix("It broke. (Reference ")[:6]
    assert failure.log_message == f"[{reference}] socket: refused"
    assert "refused" not in failure.jupyterhub_message


def test_what_needs_no_details_needs_no_reference() -> None:
    failure = StartFailure("cpu must be a number.", reason="options")
    assert failure.jupyterhub_message == "cpu must be a number."
    assert failure.status_code == 400


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> logging.Logger:
    logger = logging.getLogger("test-of-failures")
    logger.filters = [WithoutTraces()]
    return logger


def _log(logger: logging.Logger, error: Exception) -> None:
    try:
        raise error
    except type(error):
        logger.error("Failed to start %s", "ada", exc_info=sys.exc_info())


def test_a_known_failure_is_one_line(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    _log(log, StartFailure("No such image.", reason="image"))
    (record,) = caplog.records
    assert record.getMessage().startswith("Failed to start ada: ")
    assert record.exc_info is None


def test_an_unknown_one_keeps_its_trace(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    _log(log, RuntimeError("what?"))
    (record,) = caplog.records
    assert record.exc_info is not None


def test_a_link_that_fills_in_the_form_is_no_failure(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    _log(log, StartFailure("", reason=SUGGESTION, status=HTTPStatus.OK))
    assert caplog.records == []


def test_what_a_server_said_last_is_shown_as_text() -> None:
    failure = StartFailure("It <broke>.", reason="crashed", details="x", lines="a <b>\nc & d")
    page = failure.jupyterhub_html_message
    assert "It &lt;broke&gt;." in page
    assert "a &lt;b&gt;\nc &amp; d</code>" in page
    assert failure.log_message.endswith("x\n  | a <b>\n  | c & d")
