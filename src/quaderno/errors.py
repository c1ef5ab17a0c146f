"""Errors that say what happened, to what, and what to do next."""


class QuadernoError(Exception):
    """An error an operator can act on.

    `message` says in one line what happened and to what; `hint` says what to do next.
    The command line prints both and no traceback.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class ConfigError(QuadernoError):
    """quaderno.yaml is missing, unreadable or says something impossible."""


class HostError(QuadernoError):
    """This machine lacks something a component needs."""


class ComponentError(QuadernoError):
    """A component did not start, stop or answer as it should."""


class OptionsError(QuadernoError):
    """A person asked for a server that is not on offer; `message` is one sentence for them."""


class StorageError(QuadernoError):
    """The object store refused or could not be reached."""


class StorageRefusedError(StorageError):
    """The object store answered and said no; trying again with the same identity cannot help."""


class LoginRequiredError(QuadernoError):
    """The identity provider will not renew this person's tokens: they must log in again."""


class AudienceRefusedError(QuadernoError):
    """The identity provider gives no token for this audience."""


class ProviderUnavailableError(QuadernoError):
    """The identity provider does not answer; trying again later can help."""


class AccountError(QuadernoError):
    """An account cannot be created or changed as asked."""
