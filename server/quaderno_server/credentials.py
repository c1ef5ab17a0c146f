"""The hub's answers to this server, and the program `quaderno-credentials`.

The hub knows the server by its API token, and hands out what is this one user's. AWS SDKs get
their S3 keys from it by `s3_keys.py`. The program is for where that does not run, or for what
knows nothing but `credential_process` (AWS SDKs and Tools Reference Guide, "Process credential
provider").
"""

import http.client
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from typing import Any

TIMEOUT = 6.0  # seconds; the hub answers within five, whomever it has to ask itself
# The hub is near by: a proxy to the outside, if the environment names one, does not know it.
_HUB = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_AWAY = (502, 503, 504)  # what a proxy before the hub answers, without a word, when it is away


class CredentialsError(Exception):
    """The hub gave nothing; the text is one line for the person at the keyboard.

    `status` is the hub's HTTP status and `words` the sentence it said; 0 and empty without any.
    """

    status: int = 0
    words: str = ""

    @property
    def sentence(self) -> str:
        """The text, where nothing stands before it."""
        text = str(self)
        return text[:1].upper() + text[1:]


class HubUnavailableError(CredentialsError):
    """The hub, or what it depends on, does not work now; it refused nothing."""


def main() -> int:
    """Print the keys as JSON; exit status 1 and a line on stderr when there are none."""
    try:
        keys = s3_keys(os.environ)
    except CredentialsError as error:
        sys.stderr.write(f"quaderno-credentials: {error}\n")
        return 1
    session = {"Version": 1, "SessionToken": keys.pop("Token")}
    sys.stdout.write(json.dumps({**keys, **session}) + "\n")
    return 0


def s3_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """Fresh keys from the hub, in the form of a container credentials provider.

    Raises CredentialsError when the hub cannot be reached, refuses, or answers nonsense.
    """
    answer = ask(environment, "s3-keys", "S3 keys")
    try:
        names = ("AccessKeyId", "SecretAccessKey", "Token", "Expiration")
        keys = {name: str(answer[name]) for name in names}
        unix(keys["Expiration"])
    except (KeyError, TypeError, ValueError) as error:
        raise _nonsense() from error
    return keys


def unix(expiration: str) -> float:
    """`Expiration` in Unix seconds; raises ValueError."""
    # Python before 3.11 does not know the Z.
    return datetime.fromisoformat(expiration.replace("Z", "+00:00")).timestamp()


def ask(
    environment: Mapping[str, str],
    path: str,
    what: str,
    timeout: float = TIMEOUT,
    method: str = "GET",
) -> Any:
    """The hub's JSON answer at `path` below this server's user; `what` is asked for, in words.

    Raises CredentialsError, HubUnavailableError when it is worth trying again.
    """
    request = _request(environment, path, method)
    try:
        with _HUB.open(request, timeout=timeout) as response:
            return json.loads(response.read() or b"null")
    except urllib.error.HTTPError as error:
        raise _refusal(error, what) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise HubUnavailableError(
            f"the hub cannot be reached ({reason}); try again in a minute"
        ) from error
    except ValueError as error:
        raise _nonsense() from error


def _request(environment: Mapping[str, str], path: str, method: str) -> urllib.request.Request:
    try:
        api, user, token = (
            environment[f"JUPYTERHUB_{name}"] for name in ("API_URL", "USER", "API_TOKEN")
        )
    except KeyError as error:
        raise CredentialsError(f"{error.args[0]} is not set; run this in a server") from error
    url = f"{api}/quaderno/users/{urllib.parse.quote(user, safe='')}/{path}"
    headers = {"Authorization": f"token {token}"}
    return urllib.request.Request(url, headers=headers, method=method)  # noqa: S310 (the hub)


def _refusal(error: urllib.error.HTTPError, what: str) -> CredentialsError:
    """The hub's own words, if it has any."""
    try:
        words = " ".join(json.load(error)["message"].split())
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        words = ""
    # Asked too often (429), the hub has refused nothing.
    passing = error.code >= 500 or error.code == http.HTTPStatus.TOO_MANY_REQUESTS
    kind = HubUnavailableError if passing else CredentialsError
    if error.code in _AWAY and not words:
        text = f"the hub cannot be reached (HTTP {error.code}); try again in a minute"
    else:
        advice = "log in again" if error.code in (401, 403) else "try again in a minute"
        text = f"the hub gives no {what} (HTTP {error.code}): {words or advice}"
    refusal = kind(text)
    refusal.status, refusal.words = error.code, words
    return refusal


def _nonsense() -> CredentialsError:
    return CredentialsError("the hub's answer makes no sense; tell the operators")


if __name__ == "__main__":
    sys.exit(main())
