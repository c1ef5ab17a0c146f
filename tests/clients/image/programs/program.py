"""What all programs have in common: what they read, and when they end."""

import os
import sys
import time
from collections.abc import Callable

BUCKET = os.environ["JUPYTERHUB_USER"]
KEY = "clients/number.txt"
TABLE = f"s3://{BUCKET}/clients/table.parquet"


def run(read: Callable[[], object]) -> None:
    """Print what `read` returns: once, or until nobody needs more of it."""
    print(read(), flush=True)
    while "again" in sys.argv and not os.path.exists("/tmp/enough"):  # noqa: PTH110
        time.sleep(0.1)
        print(read(), flush=True)
