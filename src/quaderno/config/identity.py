"""The settings of login: the identity provider, and the embedded one's own."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from quaderno.config.kinds import Group, NeededBy, Origin, Port, RsaSecret, Secret, Url
from quaderno.config.section import Section


class Oidc(Section):
    """The identity provider people log in with, and the hub's registration there."""

    issuer: Url | None = Field(
        None, description="Issuer URL; when unset, the embedded identity provider's."
    )
    client_id: str = Field("quaderno", description="The hub's client identifier.")
    client_secret: Annotated[Secret, NeededBy("hub", "iam")] = Field(
        description="The hub's client secret."
    )
    scopes: Annotated[list[str], NeededBy("hub", "iam")] = Field(
        ["openid", "profile", "email", "groups", "offline_access"],
        description="Scopes that the hub asks for.",
    )
    username_claim: str = Field(
        "preferred_username", description="Claim that names the user; also the personal bucket."
    )
    groups_claim: Annotated[str, NeededBy("hub")] = Field(
        "groups",
        description="Claim that lists the user's groups: a name, dots included (`wlcg.groups`), or "
        "a path through nested claims (`realm_access.roles`).",
    )
    allowed_groups: Annotated[list[Group], NeededBy("hub")] = Field(
        [],
        description="Groups whose members may log in, with or without a leading slash; with "
        "`allowed_subjects` empty, too, every registered person may.",
    )
    allowed_subjects: Annotated[list[str], NeededBy("hub")] = Field(
        [], description="People who may log in whatever their groups, by their claim `sub`."
    )
    recheck: Annotated[int, NeededBy("hub")] = Field(
        300,
        ge=10,
        description="Seconds for which the provider's word on a person counts. Who is removed "
        "there can do nothing here after that, and has `removal_grace`.",
    )
    removal_grace: Annotated[int, NeededBy("hub")] = Field(
        300,
        ge=0,
        description="Seconds from then until their servers are stopped, with their files saved.",
    )
    admin_groups: Annotated[list[Group], NeededBy("hub", "iam")] = Field(
        ["/quaderno/admins"], description="Groups whose members administer the hub."
    )
    audiences: Annotated[list[str], NeededBy("hub", "iam")] = Field(
        [],
        description="Audiences that programs in servers may ask access tokens for; a token is "
        "given only if the provider issued it for that audience. Without asking for one, they "
        "get tokens as the provider issues them.",
    )
    returns_after_logout: Annotated[bool, NeededBy("hub")] = Field(
        False,
        description="Whether people come back to the login page after a logout at an external "
        "provider. It must know the address, `<public_url>/hub/login`; one that does not shows an "
        "error instead of logging out.",
    )
    agent_account: Annotated[str, NeededBy("hub")] = Field(
        "infncloud",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="Short name of the account that oidc-agent clients find in servers.",
    )


def _plain(value: Any) -> Any:
    """YAML reads `version: 2` as a number and `version: 2026-11-24` as a date."""
    return value if value is None or isinstance(value, (dict, list)) else str(value)


class Policy(Section):
    """The acceptable use policy: whoever registers or logs in accepts it, once for each version."""

    text: str = Field("", description="The policy, in Markdown; empty means that there is none.")
    file: Path | None = Field(
        None,
        description="A file of the policy, in Markdown, in place of `text`; read as root whenever "
        "the settings are.",
    )
    version: Annotated[str, BeforeValidator(_plain)] = Field(
        "1",
        min_length=1,
        max_length=40,
        description="Name of this version, kept with each acceptance. A new one asks everybody "
        "again at their next login; a change of the text alone asks nobody.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:
        """Put the file's content into `text`: unprivileged components get it in their slice."""
        if not isinstance(data, dict) or not data.get("file"):
            return data
        if data.get("text"):
            raise ValueError("set `text` or `file`, not both")
        try:
            text = Path(data["file"]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError, TypeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
            raise ValueError(f"{data['file']} cannot be read: {reason}") from error
        return {**data, "text": text, "file": None}


class Email(Section):
    """How the embedded identity provider sends its messages."""

    backend: Literal["file", "console", "smtp"] = Field(
        "file",
        description="`file` writes each message below `iam/mail` of the state directory, for root "
        "to read; `console` writes it into the component's log, links included, and is for "
        "trials; `smtp` sends it.",
    )
    sender: str | None = Field(
        None,
        description="Address that messages come from; `quaderno@` and the identity provider's "
        "host when unset.",
    )
    host: str = Field("localhost", min_length=1, description="SMTP server.")
    port: Port = Field(587, description="Port of the SMTP server.")
    security: Literal["none", "starttls", "tls"] = Field(
        "starttls", description="How the connection to it is encrypted."
    )
    user: str = Field("", description="Name to log in there with; empty for no login.")
    password: Annotated[Secret, NeededBy("iam")] = Field(
        SecretStr(""), description="Password to log in there with."
    )


class Iam(Section):
    """The embedded identity provider."""

    embedded: bool = Field(True, description="Run the embedded identity provider.")
    public_url: Origin | None = Field(
        None,
        description="URL at which browsers reach it, of an origin of its own, so that no page of "
        "a notebook server can act on accounts. When unset: the host of the service's "
        "`public_url` at port `ports.iam`.",
    )
    registration: Annotated[Literal["open", "closed"], NeededBy("iam")] = Field(
        "closed",
        description="`open` lets anybody ask for an account on the login page; an administrator "
        "decides on each request. `closed` leaves registering to operators: strangers cannot make "
        "the service send e-mail, nor reserve names, before somebody has decided that they may.",
    )
    client_registration: Annotated[Literal["closed", "token"], NeededBy("iam")] = Field(
        "closed",
        description="`token` lets applications register themselves (RFC 7591), each with a token "
        "of `quaderno client invite`; `closed` leaves that to `quaderno client add`.",
    )
    policy: Annotated[Policy, NeededBy("iam")] = Field(
        Policy(), description="The acceptable use policy."
    )
    email: Annotated[Email, NeededBy("iam")] = Field(
        Email(), description="How it sends its messages."
    )
    secret_key: Annotated[Secret, NeededBy("iam")] = Field(
        description="Signs the identity provider's sessions, and the links in its messages."
    )
    signing_key: Annotated[RsaSecret, NeededBy("iam")] = Field(
        description="RSA private key (PEM) that signs its tokens."
    )
    published_key: Annotated[RsaSecret, NeededBy("iam")] = Field(
        SecretStr(""),
        description="RSA private key (PEM) that signs nothing, but is published with the other: "
        "the next one, so that all know it when it comes into use, or the last one, until "
        "everything that it has signed is over.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.email.user and self.email.security == "none":
            raise ValueError("`email.user` needs `email.security`: its password would be readable")
        return self
