"""Django on a temporary instance, set up once; each test's changes are rolled back."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import django
import pytest

from quaderno import config as configuration
from quaderno.config import Config

if TYPE_CHECKING:
    from django.test import Client

PASSWORD, PASSWORD_2 = "a quiet staircase 7", "brass lantern 9"
HOST = "127.0.0.1:8001"
Configure = Callable[..., None]


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


@pytest.fixture
def browser() -> "Client":
    """Somebody at a browser, who is not logged in."""
    return new_browser()


def new_browser(**options: Any) -> "Client":
    from django.test import Client

    return Client(raise_request_exception=False, headers={"Host": HOST}, **options)


@pytest.fixture
def configure(config: Config) -> Iterator[Configure]:
    """Change settings of the section `iam` for one test."""
    from contextlib import ExitStack

    from django.conf import settings
    from django.test import override_settings

    with ExitStack() as overrides:

        def change(**changes: Any) -> None:
            now = settings.QUADERNO
            iam = type(now.iam).model_validate(now.iam.model_dump() | changes)
            changed = now.model_copy(update={"iam": iam})
            overrides.enter_context(override_settings(QUADERNO=changed))

        yield change


class Sent(Sequence[Any]):
    """The messages that were sent, after another look at what is to be sent."""

    def __getitem__(self, index: Any) -> Any:
        return self._delivered()[index]

    def __len__(self) -> int:
        return len(self._delivered())

    def _delivered(self) -> list[Any]:
        from django.core import mail

        from quaderno.iam import outbox

        outbox.deliver()
        return mail.outbox


@pytest.fixture
def outbox() -> Sequence[Any]:
    """The messages that were sent."""
    from django.core import mail

    mail.outbox = []
    return Sent()


def link(message: Any) -> str:
    """The path of the first link in a message to a page of ours."""
    found = re.search(rf"http://{re.escape(HOST)}(/\S+)", message.body)
    assert found, message.body
    return found[1]


@pytest.fixture
def for_all_pages() -> Callable[[], list[str]]:
    """The path of every page of ours that browsers show, with something for each parameter."""
    from django.urls import get_resolver, reverse
    from django.urls.resolvers import URLPattern

    values = {"key": "set-password", "uidb36": "1", "name": "ada", "pk": 1, "path": "dev"}

    def paths() -> list[str]:
        patterns = [p for p in get_resolver().url_patterns if isinstance(p, URLPattern) and p.name]
        found = [
            reverse(p.name, kwargs={name: values[name] for name in p.pattern.regex.groupindex})
            for p in patterns
        ]
        return [path for path in found if not path.startswith("/identity/o/api/")]

    return paths


@pytest.fixture
def registration_open(configure: Configure) -> None:
    """People may ask for accounts."""
    configure(registration="open")


@pytest.fixture
def admin() -> "Client":
    """The browser of ada, who is an administrator."""
    from quaderno.iam import accounts

    ada = accounts.create_user("ada", PASSWORD, email="ada@example.org", admin=True)
    client = new_browser()
    client.force_login(ada)
    return client
