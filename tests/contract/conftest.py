"""The container engine, and the embedded identity provider with one person who has logged in."""

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from quaderno import config as configuration
from quaderno.iam import component
from tests.contract.identity_fixtures import (
    PASSWORD,
    Browser,
    Provider,
    Request,
    answer,
    consent_page,
    free_block,
    wait_until_healthy,
)


@pytest.fixture(scope="session", autouse=True)
def _engine(container_engine: None) -> None:
    """Contract tests run against the real engine."""


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """gunicorn on a port of its own, as `quaderno run iam` starts it, but without the edge."""
    directory = tmp_path_factory.mktemp("iam-contract")
    config = configuration.generate(directory, first_port=free_block(17))
    url = f"http://127.0.0.1:{config.ports.iam_app}"
    config = config.model_copy(
        update={
            "iam": config.iam.model_copy(update={"public_url": url}),
            "contact": "help@example.org",
        }
    )
    (directory / "iam").mkdir(mode=0o700)
    settings = directory / "iam" / "settings.yaml"
    settings.write_text(configuration.dump(configuration.for_component(config, "iam")))
    environment = {"QUADERNO_CONFIG": str(settings), "PATH": os.environ["PATH"], "HOME": "/none"}
    for command in component.setup_commands(config) * 2:
        subprocess.run(command, env=environment, check=True, cwd=directory)
    log = (directory / "log").open("wb")
    with (
        log,
        subprocess.Popen(
            component.command(config), env=environment, cwd=directory, stdout=log, stderr=log
        ) as process,
    ):
        try:
            wait_until_healthy(config, process)
            discovery = httpx.get(f"{config.issuer}/.well-known/openid-configuration").json()
            provider = Provider(config, environment, discovery)
            added = provider.manage(
                *("add_user", "ada", "--email", "ada@example.org", "--group", "/dev/ml"),
                "--password-stdin",
                stdin=PASSWORD,
            )
            assert added.returncode == 0, added.stderr
            yield provider
        finally:
            process.terminate()


@pytest.fixture
def browser(provider: Provider) -> Iterator[Browser]:
    with Browser(provider) as browser:
        yield browser


@pytest.fixture
def request_(provider: Provider) -> Request:
    return Request.new(provider)


@pytest.fixture
def code(browser: Browser, request_: Request) -> str:
    """A code for which the person has logged in and consented."""
    page = consent_page(browser, request_.url())
    granted = answer(browser.submit(page, action="grant"))
    assert granted["state"] == request_.state
    return granted["code"]


@pytest.fixture
def tokens(request_: Request, code: str) -> dict[str, Any]:
    response = request_.exchange(code)
    assert response.status_code == 200, response.text
    return dict(response.json())
