"""Registers the hub as an OpenID Connect client."""

from typing import Any

from allauth.idp.oidc.models import Client
from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.core.management import BaseCommand

from quaderno.iam.hashers import ClientSecretHasher


class Command(BaseCommand):
    """Idempotent: an existing registration is made equal to the configuration."""

    help = "Register the hub as a client, or bring its registration up to date."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Create or update the client that the configuration names."""
        config = settings.QUADERNO
        client = Client.objects.filter(id=config.oidc.client_id).first()
        client = client or Client(id=config.oidc.client_id)
        client.name = config.name
        client.type = Client.Type.CONFIDENTIAL
        client.skip_consent = False
        client.set_scopes(config.oidc.scopes)
        client.set_default_scopes(config.oidc.scopes)
        client.set_grant_types(
            [Client.GrantType.AUTHORIZATION_CODE, Client.GrantType.REFRESH_TOKEN]
        )
        client.set_response_types([Client.ResponseType.CODE])
        client.set_redirect_uris([f"{config.public_url}/hub/oauth_callback"])
        client.set_post_logout_redirect_uris(
            [f"{config.public_url}{path}" for path in ("/", "/hub/", "/hub/login")]
        )
        secret = config.oidc.client_secret.get_secret_value()
        if client._state.adding or not check_password(secret, client.secret):
            client.secret = make_password(secret, hasher=ClientSecretHasher.algorithm)
        client.save()
