"""Django's view of this package, and of its administration site."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class IamConfig(AppConfig):
    """The identity provider's accounts."""

    name = "quaderno.iam"
    label = "iam"
    verbose_name = "Accounts"

    def ready(self) -> None:
        """Listen to what the library tells."""
        from quaderno.iam import registration  # noqa: F401 - its receivers


class AdminConfig(admin_apps.AdminConfig):
    """Django's administration, behind our login."""

    default = False
    default_site = "quaderno.iam.admin_site.AdminSite"
