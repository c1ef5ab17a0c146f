"""The forms of accounts, with labels in place of placeholders."""

from typing import Any

from allauth.account import forms
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms as django_forms
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from quaderno.config.identity import Policy
from quaderno.iam import accounts, policy
from quaderno.iam.models import User
from quaderno.names import USERNAME_RULE


class _Labelled:
    """Drops the placeholders: they repeat the label, and vanish when one starts to type."""

    fields: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)


class LoginForm(_Labelled, forms.LoginForm):
    """Username or e-mail address, and password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login = self.fields["login"]
        login.label = "Username or e-mail address"
        login.widget.attrs |= {
            "autocomplete": "username",
            "autocapitalize": "none",
            "spellcheck": "false",
        }
        # Mostly it is the password that was wrong.
        focused = self.fields["password" if self.data.get("login") else "login"]
        focused.widget.attrs["autofocus"] = True


class RegistrationForm(_Labelled, forms.SignupForm):
    """A request for an account."""

    first_name = django_forms.CharField(max_length=150, label="First name")
    last_name = django_forms.CharField(max_length=150, label="Last name", required=False)
    reason = django_forms.CharField(
        max_length=1000,
        widget=django_forms.Textarea(attrs={"rows": 3}),
        label="What do you want the account for?",
        help_text="Administrators read this when they decide. Say who knows you here.",
    )
    field_order = (
        *("first_name", "last_name", "email", "username"),
        *("password1", "password2", "reason", "policy"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, label in _REGISTRATION_LABELS.items():
            self.fields[name].label = label
        username = self.fields["username"]
        username.help_text = (
            f"{USERNAME_RULE[0].upper()}{USERNAME_RULE[1:]}. It names your storage, is seen by "
            "others, and can never be changed."
        )
        username.widget.attrs |= {"autocapitalize": "none", "spellcheck": "false"}
        self.policy = policy.current()
        if self.policy:
            self.fields["policy"] = django_forms.BooleanField(label=_policy_label(self.policy))

    def clean_username(self) -> str:
        """The name, which requests that came to nothing do not keep from anybody."""
        accounts.forget_unconfirmed()
        return str(super().clean_username())

    def custom_signup(self, request: HttpRequest, user: User) -> None:  # noqa: ARG002
        """Keep what was said, and that the policy was accepted."""
        user.request_reason = self.cleaned_data["reason"]
        user.save()
        if self.policy:
            policy.accept(user, self.policy)


_REGISTRATION_LABELS = {
    "email": "E-mail address",
    "password1": "Password",
    "password2": "Password, again",
}


def _policy_label(version: Policy) -> str:
    return format_html(
        'I accept the <a href="{}" target="_blank">acceptable use policy</a>, version {}',
        reverse("policy"),
        version.version,
    )


class ResetPasswordForm(_Labelled, forms.ResetPasswordForm):
    """The address to which the link goes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "E-mail address"


class ResetPasswordKeyForm(_Labelled, forms.ResetPasswordKeyForm):
    """The new password, by the link."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].label = "New password"
        self.fields["password2"].label = "New password, again"


class AddressForm(_Labelled, forms.AddEmailForm):
    """The address that is to replace the present one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = "New address"


class ActivateAppForm(_Labelled, ActivateTOTPForm):
    """The first code of an app."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["code"].label = "Code"


class PasskeyForm(_Labelled, AddWebAuthnForm):
    """A key, and whether it is enough by itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].label = "Name, to tell your keys apart"
        self.fields["passwordless"].label = "Log in with it alone, without password"
        self.fields["passwordless"].help_text = "It then asks for your fingerprint, face or PIN."


class ChangePasswordForm(_Labelled, forms.ChangePasswordForm):
    """The current password, and the new one twice."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["oldpassword"].label = "Current password"
        self.fields["password1"].label = "New password"
        self.fields["password2"].label = "New password, again"


class ReauthenticateForm(_Labelled, forms.ReauthenticateForm):
    """The password of the account that is logged in."""
