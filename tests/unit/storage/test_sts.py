"""Keys in the form that AWS SDKs read, and which refusals are final."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from quaderno.errors import StorageError, StorageRefusedError
from quaderno.storage.sts import Keys, as_storage_error

KEYS = Keys("ASIA", "secret", "token", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC))


def test_container_credentials_and_back() -> None:
    assert KEYS.container_credentials() == {
        "AccessKeyId": "ASIA",
        "SecretAccessKey": "secret",
        "Token": "token",
        "Expiration": "2030-01-02T03:04:05Z",
    }
    assert Keys.from_container_credentials(KEYS.container_credentials()) == KEYS


def test_keys_do_not_show_their_secrets() -> None:
    assert "secret'" not in repr(KEYS)
    assert "token'" not in repr(KEYS)


@pytest.mark.parametrize("change", [{"Expiration": "soon"}, {"Expiration": None}])
def test_an_unknown_form_is_an_error(change: dict[str, str]) -> None:
    with pytest.raises(StorageError):
        Keys.from_container_credentials(KEYS.container_credentials() | change)
    with pytest.raises(StorageError):
        Keys.from_container_credentials({})


def refusal(status: int, code: str, message: str = "") -> ClientError:
    return ClientError(
        {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {
                "HTTPStatusCode": status,
                "RequestId": "",
                "HostId": "",
                "HTTPHeaders": {},
                "RetryAttempts": 0,
            },
        },
        "AssumeRoleWithWebIdentity",
    )


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (refusal(400, "ExpiredTokenException"), True),
        (refusal(403, "AccessDenied"), True),
        (refusal(403, "AccessDenied", "key with ID x not found in JWKS after refresh"), True),
        (refusal(403, "AccessDenied", "failed to fetch JWKS: connection refused"), False),
        (refusal(400, "IDPCommunicationError"), False),
        (refusal(503, "SlowDown"), False),
        (refusal(500, "InternalError"), False),
        (EndpointConnectionError(endpoint_url="http://store"), False),
    ],
)
def test_which_refusals_are_final(
    error: ClientError | EndpointConnectionError, final: bool
) -> None:
    found = as_storage_error(error, "give out keys", "http://store")
    assert isinstance(found, StorageRefusedError) is final
    assert found.message
    assert found.hint
