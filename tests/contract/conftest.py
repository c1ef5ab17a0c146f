import pytest


@pytest.fixture(scope="session", autouse=True)
def _engine(container_engine: None) -> None:
    """Contract tests run against the real engine."""
