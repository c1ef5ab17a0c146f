"""The end of all servers, in `quaderno down`: nobody is asked, and no page is there to tell."""

import requests
from docker import APIClient
from docker.errors import DockerException

from quaderno.hub import inside, workarea
from quaderno.hub.inside import InsideError, NoProgramError

WITHIN = 120.0  # seconds
_GRACE = 10.0


def keep(client: APIClient, container: str, most: int) -> str:
    """Copy what exists only in `container`, up to `most` bytes; a line for the operator, empty
    when there was nothing to copy. Raises nothing: the end comes anyway."""
    command = [workarea.PROGRAM, "save", "--json", f"--within={WITHIN:g}", f"--most={most}"]
    try:
        saved = workarea.parse_saved(inside.run(client, container, command, WITHIN + _GRACE))
    except NoProgramError:
        return ""
    except (InsideError, DockerException, requests.RequestException) as error:
        return f"{container}: it is not known which files existed only there ({error})"
    if not saved.copied.count and not saved.left.count:
        return ""
    where = f" to {saved.directory}" if saved.directory else ""
    left = f", {workarea.files(saved.left)} lost" if saved.left.count else ""
    return f"{container}: {workarea.files(saved.copied)} copied{where}{left}"
