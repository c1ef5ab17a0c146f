"""Whether a store of two that replicate each other has caught up."""

import pytest

from quaderno.storage.catching_up import is_complete


@pytest.mark.parametrize(
    ("behind", "silent", "expected"),
    [
        (None, 0, False),
        (None, 29, False),
        (None, 30, True),
        (0.5, 0, True),
        (6, 0, True),
        (3600, 0, False),
        (3600, 29, False),
        (3600, 30, True),
    ],
)
def test_is_complete(behind: float | None, silent: float, expected: bool) -> None:
    assert is_complete(behind, silent) is expected
