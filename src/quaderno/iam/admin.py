"""Accounts and groups in the administration site, under the same rules as everywhere."""

import hashlib
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from quaderno.errors import AccountError
from quaderno.iam import (
    accounts,
    client_admin,  # noqa: F401 - registers itself
)
from quaderno.iam.models import STATE_FIELDS, State, User, validate_group_name

admin.site.unregister(EmailAddress)
admin.site.unregister(Group)
admin.site.unregister(UserSession)
admin.site.unregister(Authenticator)


# Among these an administrator chooses. Requests are made by registering and decided on their own
# page; people delete their own accounts.
_CHOICES = [(state.value, state.label) for state in (State.ACTIVE, State.REJECTED, State.SUSPENDED)]


class UserForm(UserChangeForm):  # type: ignore[type-arg]
    """A change of an account: its address is nobody else's, and an administrator remains.

    The page is sent back whole, so that one which was opened earlier would undo what was decided
    meanwhile: it says what it shows, and is refused when that is not so any more.
    """

    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["seen"] = _shown(self.instance)
        state = self.fields.get("state")
        if isinstance(state, forms.ChoiceField):  # missing where it is only shown
            state.choices = _CHOICES

    def clean_email(self) -> str:
        """Refuse the address of another account, since people log in with it."""
        email = str(self.cleaned_data["email"]).lower()
        if EmailAddress.objects.filter(email=email).exclude(user=self.instance).exists():
            raise ValidationError("This address belongs to another account.")
        return email

    def clean(self) -> dict[str, Any]:
        """Refuse a page of earlier, and to shut out, or take the rights of, the last administrator.

        The request is one transaction, so that nothing changes between here and the end.
        """
        changed: dict[str, Any] = super().clean() or self.cleaned_data
        if changed.get("seen") != self.initial["seen"]:
            raise ValidationError(
                "This account was changed after you opened the page; nothing is saved. "
                "Open the page again."
            )
        if changed.get("state") != State.ACTIVE or not changed.get("is_superuser"):
            try:
                accounts.require_another_administrator(self.instance)
            except AccountError as error:
                raise ValidationError(f"{error}.") from error
        return changed


def _shown(user: User) -> str:
    """A digest of what the page shows of `user` and lets be changed, as it is stored now."""
    stored = User.objects.get(pk=user.pk)
    fields = ("first_name", "last_name", "email", "is_superuser", "is_staff", *STATE_FIELDS)
    values = [str(getattr(stored, field)) for field in fields]
    return hashlib.sha256(repr([*values, stored.group_names()]).encode()).hexdigest()


class PasswordForm(AdminPasswordChangeForm):  # type: ignore[type-arg]
    """A new password for somebody, or none."""

    def save(self, commit: bool = True) -> User:
        """Also end what was opened with the old one."""
        user: User = super().save(commit)
        accounts.end_tokens(user)
        return user


@admin.register(User)
class UserAdmin(DjangoUserAdmin):  # type: ignore[type-arg]
    """People are disabled, never deleted or renamed.

    A name that is free again would give its next owner the former owner's bucket.
    """

    form = UserForm
    change_password_form = PasswordForm
    list_display = ("username", "email", "first_name", "last_name", "state", "is_superuser")
    list_filter = ("state", "is_superuser", "groups")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email", "request_reason")}),
        ("State", {"fields": ("state", "state_reason", "state_since")}),
        ("Rights", {"fields": ("is_superuser", "is_staff", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("state_since", "last_login", "date_joined", "request_reason")
    filter_horizontal = ("groups",)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Where something can be changed, what the page shows goes with it."""
        fieldsets = list(super().get_fieldsets(request, obj))
        if obj is not None and self.has_change_permission(request, obj):
            fieldsets.append((None, {"fields": ("seen",)}))
        return fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        """The name is chosen once; of a request, its page decides."""
        fields = tuple(super().get_readonly_fields(request, obj))
        if obj is None:
            return fields
        return (*fields, "username", *(("state", "email") if obj.state == State.WAITING else ()))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An erased account stays as it is: its person is gone."""
        erased = obj is not None and obj.state == State.DELETED
        return not erased and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody deletes accounts."""
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Keep the address that people log in with the same as the account's.

        An address that was left alone is not vouched for: its owner may not have confirmed it.
        A changed state is a decision of today, which also ends what the person has open.
        """
        if "state" in form.changed_data:
            obj.state_since = timezone.now()
        super().save_model(request, obj, form, change)
        if change and {"state", "state_reason"} & {*form.changed_data}:
            obj.save(update_fields=STATE_FIELDS)
        if not obj.is_active:
            accounts.end_tokens(obj)
        if "email" in form.changed_data:
            _follow_address(obj)


def _follow_address(user: User) -> None:
    if user.email:
        accounts.set_email(user, user.email)
    else:
        EmailAddress.objects.filter(user=user).delete()


@admin.register(Authenticator)
class AuthenticatorAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Second steps can be taken away, for people who lost theirs; their secrets are never shown."""

    list_display = ("user", "type", "created_at", "last_used_at")
    search_fields = ("user__username",)
    fields = readonly_fields = list_display

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Only its owner adds one."""
        return False


class GroupForm(forms.ModelForm):  # type: ignore[type-arg]
    """A group, with a hierarchical name."""

    name = forms.CharField(max_length=150, validators=[validate_group_name])


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin):
    """Groups are for relying parties: what they may do is decided there."""

    form = GroupForm
    fields = ("name",)
