"""Django on a temporary instance, set up once; each test's changes are rolled back."""

from collections.abc import Iterator

import django
import pytest

from quaderno import config as configuration
from quaderno.config import Config

PASSWORD = "a quiet staircase 7"


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The configuration that Django's settings are derived from."""
    directory = tmp_path_factory.mktemp("iam-unit")
    config = configuration.generate(directory)
    store = config.store.model_copy(update={"scratch_bucket": "commons"})
    named = {"name": "Notes & Co", "contact": "help@example.org", "store": store}
    config = config.model_copy(update=named)
    (directory / "iam").mkdir()
    settings = directory / "iam" / "settings.yaml"
    settings.write_text(configuration.dump(configuration.for_component(config, "iam")))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("QUADERNO_CONFIG", str(settings))
        environment.setenv("DJANGO_SETTINGS_MODULE", "quaderno.iam.settings")
        django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    call_command("prepare", verbosity=0)
    setup_test_environment()
    return config


@pytest.fixture(autouse=True)
def database(config: Config) -> Iterator[None]:
    """A transaction around each test, and an empty cache."""
    from django.conf import settings
    from django.core.cache import cache
    from django.db import transaction
    from django.test import override_settings

    cache.clear()
    quick_first = settings.PASSWORD_HASHERS[::-1]
    with override_settings(PASSWORD_HASHERS=quick_first), transaction.atomic():
        yield
        transaction.set_rollback(True)
