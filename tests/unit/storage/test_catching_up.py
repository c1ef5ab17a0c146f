"""Whether a store of two that replicate each other has caught up."""

import pytest

from quaderno.storage.catching_up import is_complete


@pytest.mark.parametrize(
    ("behind", "silent", "expected"),
    [
        (None, 0, False),
        (None, 119, False),
        (None, 120, True),
        (0.5, 0, True),
        (6, 0, True),
        (3600, 0, False),
        (3600, 119, False),
        (3600, 120, True),
    ],
)
def test_is_complete(behind: float | None, silent: float, expected: bool) -> None:
    assert is_complete(behind, silent) is expected
