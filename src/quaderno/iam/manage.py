"""Django's command line for the identity provider: `python -m quaderno.iam.manage COMMAND`.

An error that a person can act on is one line on standard error, and exit status 1.
"""

import os
import sys

from django.core.management import execute_from_command_line

from quaderno.errors import QuadernoError


def main() -> None:
    """Run the command in sys.argv."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quaderno.iam.settings")
    try:
        execute_from_command_line(sys.argv)
    except QuadernoError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
