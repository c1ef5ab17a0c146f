"""The container engine, and the embedded identity provider with one person who has logged in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.contract.identity_fixtures import (
    Browser,
    Provider,
    Request,
    answer,
    consent_page,
    running_provider,
)
from tests.contract.replication_fixtures import Site, running_sites


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[Site, Site]]:
    with running_sites(tmp_path) as both:
        yield both


@pytest.fixture(scope="session", autouse=True)
def _engine(container_engine: None) -> None:
    """Contract tests run against the real engine."""


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    """One for the tests of a module."""
    with running_provider(tmp_path_factory.mktemp("iam-contract")) as provider:
        yield provider


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
