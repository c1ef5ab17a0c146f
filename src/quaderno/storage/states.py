"""The states of one person's mounts, and the error that says which of them waits for what."""

from enum import StrEnum

from quaderno.errors import StorageError, StorageRefusedError

RETRY_LEAST, RETRY_MOST = 0.5, 5.0  # seconds between tries
REFUSED_MOST = 60.0  # seconds; after a refusal a login is needed, and a new use tries at once


class State(StrEnum):
    """Where a person's mounts are; `user_mounts` describes the order."""

    PREPARE = "PREPARE"
    WAIT_KEYS = "WAIT_KEYS"
    WAIT_S3 = "WAIT_S3"
    WAIT_LEASE = "WAIT_LEASE"
    MOUNTING = "MOUNTING"
    READY = "READY"
    CRASHED = "CRASHED"
    DRAINING = "DRAINING"
    UNMOUNTED = "UNMOUNTED"

    @property
    def is_final(self) -> bool:
        """Whether waiting longer may be in vain."""
        return self.is_waiting or self in (State.READY, State.UNMOUNTED)

    @property
    def is_waiting(self) -> bool:
        """Whether something is missing without which nothing can be mounted."""
        return self in (State.WAIT_KEYS, State.WAIT_S3, State.WAIT_LEASE)


class WaitingError(StorageError):
    """The mounts cannot be made now; `state` says what is waited for, `message` why, and
    `refused` that waiting alone does not help."""

    def __init__(self, state: State, reason: StorageError) -> None:
        super().__init__(reason.message, reason.hint)
        self.state, self.refused = state, isinstance(reason, StorageRefusedError)
