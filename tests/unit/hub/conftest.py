from pathlib import Path

import pytest

from quaderno import config as quaderno_config
from quaderno.config import Config


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return quaderno_config.generate(Path(tmp_path_factory.mktemp("state")))
