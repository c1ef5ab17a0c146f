"""What the hub keeps of somebody's login, and for how long its access token is good."""

import time
from typing import Any

# Seconds of life a token must have left to be used, or half of what it began with where that is
# less (Keycloak's live five minutes); with less it is renewed first.
RENEW_AHEAD = 300
# Seconds for which the provider's word on a person is good without asking again.
ASK_AGAIN_AFTER = 60

AuthState = dict[str, Any]  # encrypted in the database
TokenAnswer = dict[str, Any]  # of the token endpoint (RFC 6749, 5.1); `AuthState` has it in it


def keep_newest_tokens(_: Any, authenticated: dict[str, Any], existing: AuthState) -> AuthState:
    """JupyterHub's reconcile hook: a refresh that took long must not bring back tokens that were
    renewed meanwhile."""
    new: AuthState = authenticated["auth_state"]
    if _obtained_at(existing) <= _obtained_at(new):
        return new
    tokens = ("access_token", "refresh_token", "id_token", "scope", "token_response")
    return {**new, **{key: existing.get(key) for key in tokens}}


def lasts(state: AuthState, min_valid: float) -> bool:
    """Whether it need not be renewed for somebody who wants `min_valid` seconds of life."""
    is_new = time.time() - _obtained_at(state) < ASK_AGAIN_AFTER
    ahead = min(RENEW_AHEAD, float(state["token_response"].get("expires_in") or 0) / 2)
    return seconds_left(state) >= (ahead if is_new else max(ahead, min_valid))


def _obtained_at(state: AuthState | None) -> float:
    return float(((state or {}).get("token_response") or {}).get("obtained_at") or 0)


def seconds_left(state: AuthState) -> float:
    """Of the access token's life."""
    expires_at = float((state.get("token_response") or {}).get("expires_at") or 0)
    return expires_at - time.time()
