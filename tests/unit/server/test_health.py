"""What JupyterLab says of storage and login, for what the hub may answer."""

from typing import Any

import pytest

from quaderno_server.credentials import CredentialsError, HubUnavailableError
from quaderno_server.health import AWAY, LOG_IN, health

TOKEN = {"expires_at": 1_900_000_000}


def storage(**changes: Any) -> dict[str, Any]:
    """The hub's answer for storage that works, but for `changes`."""
    return {
        "user": "anna",
        "node": "n1",
        "servers": [""],
        "state": "READY",
        "reason": "",
        "level": "ok",
        "message": "Everything is saved.",
        "pending": {"files": 0, "bytes": 0, "oldest": None},
        "refused": [],
        "rescued": 0,
        "read_only": False,
        "quota": None,
        **changes,
    }


def refusal(status: int, words: str = "") -> CredentialsError:
    """What `credentials.ask` raises for an answer of the hub."""
    error = (HubUnavailableError if status >= 500 else CredentialsError)("in short")
    error.status, error.words = status, words
    return error


def pending(files: int) -> dict[str, Any]:
    return {"files": files, "bytes": files * 10, "oldest": 1.5}


REFUSED = [{"path": "cloud_storage/anna/a.csv", "reason": "The store is full."}]


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "Saved"),
        ({"level": "busy", "pending": pending(1)}, "Saving 1 file"),
        ({"level": "busy", "pending": pending(3)}, "Saving 3 files"),
        ({"pending": pending(3)}, "Saving 3 files"),
        ({"level": "warning", "pending": pending(2)}, "Waiting to save 2 files"),
        ({"level": "error", "state": "WAIT_S3", "pending": pending(1)}, "Waiting to save 1 file"),
        ({"level": "error", "refused": REFUSED, "pending": pending(4)}, "1 file refused"),
        ({"level": "busy"}, "Saving"),
        ({"level": "busy", "state": "PREPARE"}, "Connecting storage"),
        ({"level": "busy", "state": "MOUNTING"}, "Connecting storage"),
        ({"level": "warning", "state": "WAIT_S3"}, "Storage away"),
        ({"level": "warning", "state": "WAIT_KEYS"}, "Storage away"),
        ({"level": "error", "state": "WAIT_LEASE"}, "Storage elsewhere"),
        ({"level": "error", "state": "CRASHED"}, "Storage away"),
        ({"level": "error", "state": "UNMOUNTED"}, "No storage"),
        ({"level": "busy", "state": "DRAINING", "pending": pending(5)}, "Saving 5 files"),
        ({"level": "warning", "read_only": True}, "Read-only"),
        ({"level": "ok", "state": "UNMOUNTED"}, "Saved"),
        ({"level": "warning", "quota": {"limit": 10, "used": 9}}, "Storage nearly full"),
        ({"level": "warning", "quota": {"limit": 10, "used": 1}}, "See storage"),
        ({"level": "warning", "quota": {"limit": 0, "used": 1}}, "See storage"),
        (
            {
                "level": "error",
                "read_only": True,
                "quota": {"limit": 10, "used": 10, "full": True},
            },
            "Storage full",
        ),
        ({"level": "warning", "rescued": 2}, "See storage"),
    ],
)
def test_the_words_in_the_status_bar(changes: dict[str, Any], label: str) -> None:
    told = health(storage(**changes), TOKEN)
    assert told["label"] == label
    assert told["level"] == changes.get("level", "ok")
    assert told["message"] == "Everything is saved."
    assert told["storage"] == storage(**changes)
    assert told["login"]["ok"] is True
    assert told["login"]["expires_at"] == 1_900_000_000


def test_an_ended_login_comes_first() -> None:
    told = health(storage(), refusal(403, "The login of anna has ended: log in again."))
    assert (told["label"], told["level"], told["message"]) == ("Log in again", "warning", LOG_IN)
    assert told["login"] == {"ok": False, "message": LOG_IN, "expires_at": None}


def test_who_must_start_the_server_anew_is_not_told_to_log_in() -> None:
    words = "This token is not valid: start the server anew, or get another token."
    told = health(refusal(403, words), refusal(403, words))
    assert (told["label"], told["level"], told["message"]) == ("Storage unknown", "warning", words)
    assert told["login"] == {"ok": True, "message": words, "expires_at": None}


def test_an_ended_login_does_not_hide_what_is_worse() -> None:
    broken = storage(level="error", message="The store refuses your files.")
    told = health(broken, refusal(403))
    assert (told["level"], told["message"]) == ("error", "The store refuses your files.")
    assert told["label"] == "Log in again"


def test_a_hub_that_is_away_is_no_ended_login() -> None:
    away = HubUnavailableError("the hub cannot be reached (Connection refused)")
    told = health(away, away)
    assert (told["level"], told["message"]) == ("warning", AWAY)
    assert (told["storage"], told["label"]) == (None, "Storage unknown")
    assert told["login"] == {"ok": True, "message": AWAY, "expires_at": None}


@pytest.mark.parametrize("status", [403, 404, 503])
def test_the_hub_may_say_why_it_tells_nothing(status: int) -> None:
    told = health(refusal(status, "The node agent does not answer."), TOKEN)
    assert (told["level"], told["message"]) == ("warning", "The node agent does not answer.")
    assert told["storage"] is None


@pytest.mark.parametrize("status", [0, 404, 502, 503])
def test_only_a_refusal_ends_the_login(status: int) -> None:
    assert health(storage(), refusal(status))["login"]["ok"] is True


def test_what_a_later_hub_may_add_is_no_error() -> None:
    told = health({"level": "purple", "state": "NEW", "message": "Look."}, {})
    assert (told["level"], told["label"]) == ("warning", "See storage")
    assert told["login"]["expires_at"] is None
