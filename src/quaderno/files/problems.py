"""What may go wrong, as one sentence for the person who looks, with an HTTP status."""

from http import HTTPStatus

from botocore.exceptions import BotoCoreError, ClientError

from quaderno.errors import QuadernoError

_GONE = frozenset({"NoSuchKey", "NoSuchUpload", "NotFound", "404"})
_ENDED = frozenset({"ExpiredToken", "InvalidToken", "ExpiredTokenException"})


class PageError(QuadernoError):
    """Something that a page tells; `message` is the sentence."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoBucketError(PageError):
    """The person's first look at their files."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.NOT_FOUND, "The store has no such bucket.")


def login_ended() -> PageError:
    """The hub or the store no longer takes the person's login."""
    return PageError(HTTPStatus.UNAUTHORIZED, "Your login has ended: log in again.")


def hub_away() -> PageError:
    """Keys are needed, and the hub does not give any."""
    return PageError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The service cannot get your keys now: try again in a moment. Nothing is lost.",
    )


def of_store(error: ClientError | BotoCoreError, action: str) -> PageError:
    """`error` of the store while it was to `action`."""
    if not isinstance(error, ClientError):
        return store_away()
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    if code in _ENDED:
        return login_ended()
    if code == "NoSuchBucket":
        return NoBucketError()
    if code in _GONE or status == HTTPStatus.NOT_FOUND:
        return PageError(
            HTTPStatus.NOT_FOUND,
            f"The store cannot {action}: it is not there, or was deleted meanwhile.",
        )
    if status == HTTPStatus.FORBIDDEN:
        return PageError(
            HTTPStatus.FORBIDDEN,
            f"The store does not let you {action}. You write in your own files and below your "
            "name in scratch, as long as your quota is not used up.",
        )
    if code == "BucketNotEmpty":
        return PageError(
            HTTPStatus.CONFLICT,
            f"The store cannot {action}, because it is not empty: delete what is in it first.",
        )
    if 400 <= status < 500:
        return PageError(HTTPStatus.BAD_REQUEST, f"The store cannot {action} ({code}).")
    return store_away()


def store_away() -> PageError:
    """The store does not answer, or not as it should."""
    return PageError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The object store does not answer now: try again in a moment. Nothing is lost.",
    )


def busy() -> PageError:
    """As many download by links as may at once."""
    return PageError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "Many people download by links now: try again in a moment.",
    )
