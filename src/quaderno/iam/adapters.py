"""What we want different from django-allauth's defaults."""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from allauth.idp.oidc.models import Client, Token
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from quaderno.iam import audiences, client_registration, mail
from quaderno.iam.models import State, User

_HOW = (
    "request an account below."
    if settings.QUADERNO.iam.registration == "open"
    else f"ask {settings.QUADERNO.contact} for an account."
)
_WRONG = f"Wrong username or password; if you are not registered yet, {_HOW}"


# What the library tells by e-mail after a change of an account.
NOTICES = {
    "password_changed": "Your password was changed",
    "password_reset": "Your password was changed, by a link that was sent to you",
    "password_set": "Your account has a password now",
    "email_changed": "Your account has another e-mail address; this one belongs to it no more",
    "email_confirm": "The e-mail address of your account was confirmed",
    "email_deleted": "This address was removed from your account",
    "totp_activated": "Logging in to your account takes a code of an app now",
    "totp_deactivated": "Logging in to your account takes no code of an app any more",
    "recovery_codes_generated": "Your account has new recovery codes; older ones are void",
    "webauthn_added": "A passkey or security key was added to your account",
    "webauthn_removed": "A passkey or security key was removed from your account",
}


class AccountAdapter(DefaultAccountAdapter):
    """Accounts that operators create, or that people ask for and administrators approve."""

    # One sentence for every failure: it does not tell whether the account exists.
    error_messages = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": _WRONG,
        "email_password_mismatch": _WRONG,
        "too_many_login_attempts": "Too many failed logins; try again in five minutes.",
        "username_taken": "This username is taken.",
        "enter_current_password": "This is not your current password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Whether people may ask for accounts."""
        return bool(settings.QUADERNO.iam.registration == "open")

    def new_user(self, request: HttpRequest) -> User:  # noqa: ARG002
        """Whoever asks for an account waits."""
        return User(state=State.WAITING)

    def pre_login(self, *_: Any, **__: Any) -> None:
        """Nobody is turned away here: the stages say why."""

    def get_login_stages(self) -> list[str]:
        """What stands between a right password and a login."""
        return [
            "quaderno.iam.stages.AddressStage",
            "quaderno.iam.stages.AdmissionStage",
            "allauth.mfa.stages.AuthenticateStage",
            "quaderno.iam.stages.PolicyStage",
        ]

    def get_email_verification_redirect_url(self, email_address: EmailAddress) -> str:
        """After a confirmed address: what happens to the request now; else, the account."""
        waits = email_address.user.state == State.WAITING
        return reverse("account_requested" if waits else "account")

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """The library's messages, in our words."""
        name = template_prefix.rpartition("/")[2]
        if name in NOTICES:
            mail.send("changed", email, what=NOTICES[name])
            return
        known = {key: value for key, value in context.items() if key not in ("request", "service")}
        mail.send(name, email, email=email, **known)

    def is_safe_url(self, url: str) -> bool:
        """After a login, people go to a page of ours and nowhere else."""
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:  # noqa: ARG002
        """Back to the account, where the message is shown."""
        return reverse("account")


class OidcAdapter(DefaultOIDCAdapter):
    """Tokens that the hub and the object store understand."""

    scope_display: ClassVar = {
        "openid": "Know that it is you who logs in",
        "profile": "See your username and name",
        "email": "See your e-mail address",
        "groups": "See your groups",
        "offline_access": "Stay connected for up to 30 days, without asking you again",
    }

    def get_issuer(self) -> str:
        """The configured issuer, character for character: relying parties compare it so."""
        return str(settings.QUADERNO.issuer)

    def get_claims(
        self,
        purpose: Literal["id_token", "userinfo"],
        user: User,
        client: Client,
        scopes: Iterable[str],
        email: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """The standard claims, and `groups` for the scope of that name."""
        claims: dict[str, Any] = super().get_claims(
            purpose, user, client, scopes, email=email, **kwargs
        )
        if "groups" in scopes:
            claims["groups"] = user.group_names()
        return claims

    def populate_access_token(
        self,
        access_token: dict[str, Any],
        *,
        client: Client,
        scopes: Iterable[str],
        user: User | None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """What the object store's policies are written in, and the audience that was asked for: it
        insists on the client's own. Raises InvalidTargetError."""
        names = audiences.granted(context.request, client.id)
        access_token["aud"] = names if len(names) > 1 else names[0]
        if user is not None:
            claims = self.get_claims("userinfo", user, client, scopes)
            for name in ("preferred_username", "groups"):
                if name in claims:
                    access_token[name] = claims[name]

    def populate_server_metadata(self, data: dict[str, str | list[str]]) -> None:
        """Describe what is on offer, which is less than the library could do."""
        data["scopes_supported"] = list(self.scope_display)
        data["claims_supported"] = [
            *("sub", "name", "given_name", "family_name", "preferred_username"),
            *("email", "email_verified", "groups"),
        ]
        data["grant_types_supported"] = [
            Client.GrantType.AUTHORIZATION_CODE,
            Client.GrantType.REFRESH_TOKEN,
            Client.GrantType.DEVICE_CODE,
        ]
        data["response_types_supported"] = ["code"]
        if client_registration.is_open():
            path = reverse("client_registration")
            data["registration_endpoint"] = f"{settings.QUADERNO.iam_url}{path}"

    def validate_client_registration(
        self,
        *,
        client: Client,
        client_metadata: dict[str, Any],
        token: Token | None,
        bearer_token: str | None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """An application registers itself: less than the library would let it be."""
        client_registration.check(client, client_metadata, token, {*self.scope_display})
