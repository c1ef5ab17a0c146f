"""The end of a container that no page can be told of: what exists only there is copied first."""

import docker
from docker.errors import NotFound

from quaderno.hub import inside, workarea
from quaderno.hub.inside import ENGINE_ERRORS, InsideError, NoProgramError

STOP_SECONDS = 20  # for a server to save its state before it is killed
COPY_SECONDS = 120.0  # for a server to copy what exists only there
_GRACE = 10.0


def end(client: docker.APIClient, container: str, most: int) -> str:
    """Remove `container`; if it runs, copy up to `most` bytes and stop it first. Blocking.

    By its id: another may have its name meanwhile. Returns a line for the operator, empty when
    there was nothing to copy; raises one of ENGINE_ERRORS.
    """
    said = ""
    try:
        if client.inspect_container(container)["State"]["Running"]:
            said = keep(client, container, most)
            client.stop(container, timeout=STOP_SECONDS)
        client.remove_container(container, v=True, force=True)
    except NotFound:
        return said
    return said


def keep(client: docker.APIClient, container: str, most: int) -> str:
    """Copy what exists only in `container`, up to `most` bytes; a line for the operator, empty
    when there was nothing to copy. Raises nothing: the end comes anyway."""
    command = [workarea.PROGRAM, "save", "--json", f"--within={COPY_SECONDS:g}", f"--most={most}"]
    try:
        answer = inside.run(client, container, command, COPY_SECONDS + _GRACE)
        saved = workarea.parse_saved(answer)
    except NoProgramError:
        return ""
    except (InsideError, *ENGINE_ERRORS) as error:
        return f"{container}: it is not known which files existed only there ({error})"
    if not saved.copied.count and not saved.left.count:
        return ""
    where = f" to {saved.directory}" if saved.directory else ""
    left = f", {workarea.files(saved.left)} lost" if saved.left.count else ""
    return f"{container}: {workarea.files(saved.copied)} copied{where}{left}"
