"""Applications in the administration site, under the rules of those that register themselves."""

from typing import Any

from allauth.idp.oidc.admin import ClientAdmin as LibraryClientAdmin
from allauth.idp.oidc.models import Client
from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from quaderno.iam.adapters import OidcAdapter
from quaderno.iam.client_rules import GRANTS, id_problem, name_problem, redirect_problem

admin.site.unregister(Client)


class ClientForm(forms.ModelForm):  # type: ignore[type-arg]
    """An application: where it may have people sent, what it is called, and what it may ask for."""

    def clean_id(self) -> str:
        """Refuse what is no identifier."""
        client_id = str(self.cleaned_data["id"])
        if problem := id_problem(client_id):
            raise ValidationError(f"This identifier cannot be used: {problem}.")
        return client_id

    def clean_name(self) -> str:
        """Refuse what could be taken for another one."""
        name = str(self.cleaned_data["name"])
        if problem := name_problem(name, self.instance):
            raise ValidationError(f"This name cannot be used: {problem}.")
        return name

    def clean_redirect_uris(self) -> str:
        """Refuse addresses that nobody may be sent to; they also get into a header of all pages."""
        uris = _lines(self.cleaned_data["redirect_uris"])
        for uri in uris:
            if problem := redirect_problem(uri):
                raise ValidationError(f"{uri!r} cannot be used: {problem}.")
        return "\n".join(uris)

    def clean_grant_types(self) -> str:
        """Refuse those that the provider does not have."""
        return self._known("grant_types", GRANTS, "kind of grant")

    def clean_scopes(self) -> str:
        """Refuse those that the provider does not know."""
        return self._known("scopes", {*OidcAdapter.scope_display}, "scope")

    def clean_default_scopes(self) -> str:
        """As the scopes."""
        return self._known("default_scopes", {*OidcAdapter.scope_display}, "scope")

    def _known(self, field: str, known: set[str], what: str) -> str:
        words = _lines(self.cleaned_data[field])
        if unknown := [word for word in words if word not in known]:
            raise ValidationError(
                f"{unknown[0]!r} is no {what} here; there are {', '.join(sorted(known))}."
            )
        return "\n".join(words)


def _lines(text: str) -> list[str]:
    """What the library reads of it: a value in each line."""
    return [line.strip() for line in text.splitlines() if line.strip()]


@admin.register(Client)
class ClientAdmin(LibraryClientAdmin):
    """The library's, without what nobody may be here: answers other than codes, addresses with
    wildcards, and scripts of other sites."""

    form = ClientForm
    fields = (
        *("id", "name", "type", "skip_consent"),
        *("scopes", "default_scopes", "grant_types", "redirect_uris"),
    )
    list_display = ("name", "id", "type", "skip_consent", "created_at")
    list_filter = ("type", "skip_consent")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:  # noqa: ARG002
        """Tokens and consents hang on the identifier."""
        return ("id", "type") if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The hub's own registration follows the settings at each start."""
        return not _is_hubs(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The hub's is needed."""
        return not _is_hubs(obj) and super().has_delete_permission(request, obj)


def _is_hubs(client: Client | None) -> bool:
    return client is not None and client.pk == settings.QUADERNO.oidc.client_id
