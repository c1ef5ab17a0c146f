"""What `quaderno status` knows of the embedded identity provider's messages."""

import httpx

from quaderno.config import Config

_PATIENCE = 5.0  # seconds


def warnings(config: Config) -> list[str]:
    """Whether messages wait that could not be delivered; nothing when the provider is silent."""
    if not config.iam.embedded:
        return []
    url = f"http://127.0.0.1:{config.ports.iam_app}/undelivered"
    try:
        with httpx.Client(timeout=_PATIENCE, trust_env=False) as client:
            answer = client.get(url).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return []
    if not answer["messages"]:
        return []
    return [
        f"messages of the identity provider that are not delivered: {answer['messages']}, the "
        f"oldest of {answer['since']} ({answer['problem']}); see iam.email and logs/iam.log"
    ]
