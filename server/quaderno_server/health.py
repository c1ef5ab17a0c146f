"""What the person at JupyterLab is told of storage and login; pure.

The hub says how storage is; this adds the login and chooses the few words that fit a status bar.
The worst of both decides the level, and the sentence comes from whatever is worst.
"""

from __future__ import annotations

from typing import Any, Union

from quaderno_server.credentials import CredentialsError

Json = dict[str, Any]
Answer = Union[Json, CredentialsError]  # noqa: UP007 - evaluated by Python 3.9, too
"""What the hub said, or why it said nothing."""

LEVELS = ("ok", "busy", "warning", "error")
AWAY = "The hub cannot be reached; your work goes on"
LOG_IN = "Your login has ended: log in again, so that your files go on being saved"

# The hub's words about a token that was revoked, whose person may well be logged in.
_REVOKED = "start the server anew"

NEARLY_FULL = 0.8  # of the quota

_NOT_MOUNTED = {
    "PREPARE": "Connecting storage",
    "WAIT_KEYS": "Storage away",
    "WAIT_S3": "Storage away",
    "WAIT_LEASE": "Storage elsewhere",
    "MOUNTING": "Connecting storage",
    "CRASHED": "Storage away",
    "UNMOUNTED": "No storage",
}


def health(storage: Answer, token: Answer) -> Json:
    """The JSON of `quaderno/health`, from the hub's answers on storage and for an access token."""
    login = _login(token)
    if isinstance(storage, CredentialsError):
        level, message, known = "warning", _complaint(storage), None
    else:
        level, message, known = _level(storage), str(storage.get("message", "")), storage
    if not login["ok"] and LEVELS.index(level) <= LEVELS.index("warning"):
        level, message = "warning", login["message"]
    return {
        "level": level,
        "label": _label(known, login["ok"]),
        "message": message,
        "storage": known,
        "login": login,
    }


def _login(token: Answer) -> Json:
    """Only a refusal ends the login: a hub that does not answer has refused nothing."""
    if isinstance(token, CredentialsError):
        if token.status in (401, 403) and _REVOKED not in token.words:
            return {"ok": False, "message": LOG_IN, "expires_at": None}
        return {"ok": True, "message": _complaint(token), "expires_at": None}
    expires_at = token.get("expires_at")
    known = isinstance(expires_at, int)
    return {
        "ok": True,
        "message": "You are logged in",
        "expires_at": expires_at if known else None,
    }


def _level(storage: Json) -> str:
    """The hub's level; one that this version does not know is something to look at."""
    level = storage.get("level")
    return str(level) if level in LEVELS else "warning"


def _complaint(error: CredentialsError) -> str:
    """The hub's own words where it spoke; one sentence where it did not."""
    return error.words or AWAY


# --- the words in the status bar


def _label(storage: Json | None, logged_in: bool) -> str:
    """What matters most comes first: what the person must do, then what is not yet safe."""
    if not logged_in:
        return "Log in again"
    if storage is None:
        return "Storage unknown"
    refused = len(storage.get("refused") or ())
    if refused:
        return f"{_files(refused)} refused"
    level = _level(storage)
    pending = int((storage.get("pending") or {}).get("files") or 0)
    if pending:
        verb = "Saving" if level in ("ok", "busy") else "Waiting to save"
        return f"{verb} {_files(pending)}"
    if level != "ok" and storage.get("state") in _NOT_MOUNTED:
        return _NOT_MOUNTED[storage["state"]]
    quota = storage.get("quota") or {}
    if quota.get("full"):
        return "Storage full"
    if storage.get("read_only"):
        return "Read-only"
    if level == "warning" and _nearly_full(quota):
        return "Storage nearly full"
    return {"ok": "Saved", "busy": "Saving"}.get(level, "See storage")


def _nearly_full(quota: Json) -> bool:
    return bool(quota and 0 < NEARLY_FULL * quota["limit"] <= quota["used"])


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"
