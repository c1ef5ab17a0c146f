"""S3 keys for every AWS SDK in a server, by the SDKs' own `credential_process` protocol.

The SDK runs this program when it needs keys and again shortly before they expire, so people's
code neither holds nor refreshes credentials. The keys come from the hub, which knows the server
by its API token and hands out keys of that user alone. Protocol: AWS SDKs and Tools Reference
Guide, "Process credential provider".
"""

import http.client
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

TIMEOUT = 30  # seconds; the hub may have to ask the identity provider and the store first
# The hub is near by: a proxy to the outside, if the environment names one, does not know it.
_HUB = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class CredentialsError(Exception):
    """The hub gave nothing; the text is one line for the person at the keyboard.

    `status` is the hub's HTTP status and `words` the sentence it said; 0 and empty without any.
    """

    status: int = 0
    words: str = ""


class HubUnavailableError(CredentialsError):
    """The hub, or what it depends on, does not work now; it refused nothing."""


def main() -> int:
    """Print the keys as JSON; exit status 1 and a line on stderr when there are none."""
    try:
        keys = fetch(os.environ)
    except CredentialsError as error:
        sys.stderr.write(f"quaderno-credentials: {error}\n")
        return 1
    sys.stdout.write(json.dumps(keys) + "\n")
    return 0


def fetch(environment: Mapping[str, str]) -> dict[str, object]:
    """Fresh keys from the hub, in the form that `credential_process` prints.

    Raises CredentialsError when the hub cannot be reached, refuses, or answers nonsense.
    """
    answer = ask(environment, "s3-keys", "S3 keys")
    try:
        names = ("AccessKeyId", "SecretAccessKey", "Expiration")
        keys = {"Version": 1, **{name: answer[name] for name in names}}
        return {**keys, "SessionToken": answer["Token"]}
    except (KeyError, TypeError) as error:
        raise _nonsense() from error


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
    advice = "log in again" if error.code in (401, 403) else "try again in a minute"
    try:
        words = " ".join(json.load(error)["message"].split())
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        words = ""
    kind = HubUnavailableError if error.code >= 500 else CredentialsError
    refusal = kind(f"the hub gives no {what} (HTTP {error.code}): {words or advice}")
    refusal.status, refusal.words = error.code, words
    return refusal


def _nonsense() -> CredentialsError:
    return CredentialsError("the hub's answer makes no sense; tell the operators")


if __name__ == "__main__":
    sys.exit(main())
