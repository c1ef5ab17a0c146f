"""The secrets of a configuration, for tests that look for where they must not be."""

import operator
from functools import reduce

from quaderno.config import Config, secret_fields


def secret_values(config: Config) -> list[str]:
    """Those that are set; an empty one is everywhere."""
    settings = config.model_dump(mode="json")
    values: list[str] = [reduce(operator.getitem, path, settings) for path in secret_fields()]  # type: ignore[misc]
    return [value for value in values if value]
