"""Identity token -> short-lived S3 keys (AWS STS, AssumeRoleWithWebIdentity).

The keys carry the role's policy, which is written in the claims of the token: whoever holds them
can do what that one person may, and nothing else. Tokens and keys are never logged.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, cast

import botocore.session
from botocore import UNSIGNED
from botocore.client import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from quaderno.config import Config
from quaderno.errors import StorageError, StorageRefusedError

if TYPE_CHECKING:
    from mypy_boto3_sts import STSClient

CONNECT_TIMEOUT = 3  # seconds
READ_TIMEOUT = 20  # seconds
# Answers with a client error's status that are the service's trouble, not the caller's.
_PASSING = frozenset(
    {"IDPCommunicationError", "RequestTimeout", "SlowDown", "Throttling", "ThrottlingException"}
)
# SeaweedFS says AccessDenied also when it cannot ask the identity provider for its keys.
_PROVIDER_SILENT = re.compile(r"failed to (fetch|refresh) JWKS")


@dataclass(frozen=True)
class Keys:
    """S3 keys of one person; `expiration` is an aware datetime in UTC."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: datetime

    def container_credentials(self) -> dict[str, str]:
        """The form that AWS SDKs read from a container credential provider."""
        return {
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key,
            "Token": self.session_token,
            "Expiration": self.expiration.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    @classmethod
    def from_container_credentials(cls, data: Mapping[str, Any]) -> Self:
        """The reverse; raises StorageError when `data` is not in that form."""
        try:
            return cls(
                access_key_id=str(data["AccessKeyId"]),
                secret_access_key=str(data["SecretAccessKey"]),
                session_token=str(data["Token"]),
                expiration=datetime.fromisoformat(data["Expiration"]).astimezone(UTC),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError("S3 keys came in an unknown form") from error


def assume_role(config: Config, identity_token: str, session_name: str, role: str = "") -> Keys:
    """Keys of the person whom `identity_token` names, valid `store.key_lifetime` seconds at most;
    `role` is its address, `store.role_arn` when empty.

    Blocks for up to READ_TIMEOUT. Raises StorageRefusedError when the store rejects the token
    (expired, another issuer or audience), StorageError when it cannot answer.
    """
    try:
        answer = _client(config.sts_endpoint, config.store.region).assume_role_with_web_identity(
            RoleArn=role or config.store.role_arn,
            RoleSessionName=session_name,
            WebIdentityToken=identity_token,
            DurationSeconds=config.store.key_lifetime,
        )
    except (ClientError, BotoCoreError) as error:
        raise as_storage_error(error, "give out S3 keys", config.sts_endpoint) from error
    credentials = answer["Credentials"]
    return Keys(
        access_key_id=credentials["AccessKeyId"],
        secret_access_key=credentials["SecretAccessKey"],
        session_token=credentials["SessionToken"],
        expiration=credentials["Expiration"].astimezone(UTC),
    )


@lru_cache(maxsize=4)
def _client(endpoint: str, region: str) -> "STSClient":
    """Clients are thread-safe and slow to build (50 ms), so one is kept for each endpoint."""
    client = botocore.session.get_session().create_client(
        "sts",
        region_name=region,
        endpoint_url=endpoint,
        config=ClientConfig(
            signature_version=UNSIGNED,
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"total_max_attempts": 2},
        ),
    )
    return cast("STSClient", client)


def as_storage_error(
    error: ClientError | BotoCoreError, action: str, endpoint: str
) -> StorageError:
    """`error` as a StorageRefusedError when asking again cannot help, else a StorageError."""
    if not isinstance(error, ClientError):
        return StorageError(
            f"The object store at {endpoint} cannot be reached ({type(error).__name__})",
            "It is tried again; see the store's log if this lasts",
        )
    details = error.response.get("Error", {})
    code = details.get("Code", "unknown")
    passing = code in _PASSING or _PROVIDER_SILENT.search(details.get("Message", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
    message = f"The object store refused to {action} ({code})"
    if 400 <= status < 500 and not passing:
        return StorageRefusedError(message, "Log in again; if it stays, ask the operators")
    return StorageError(message, "It is tried again; see the store's log if this lasts")
