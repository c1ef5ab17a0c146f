"""The end of a container that no page can be told of: what exists only there is copied first.

`quaderno down` leaves a note of each for the next hub, which tells the container's person.
"""

from pathlib import Path

import docker
from docker.errors import NotFound
from pydantic import ValidationError

from quaderno.config import Config
from quaderno.hub import inside, workarea
from quaderno.hub.inside import ENGINE_ERRORS, InsideError, NoProgramError
from quaderno.hub.workarea import Saved, Stop

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
            _, said = keep(client, container, most)
            client.stop(container, timeout=STOP_SECONDS)
        client.remove_container(container, v=True, force=True)
    except NotFound:
        return said
    return said


def keep(client: docker.APIClient, container: str, most: int) -> tuple[Stop, str]:
    """Copy what exists only in `container`, up to `most` bytes. Raises nothing: the end comes
    anyway.

    Returns what its person is to be told after a `quaderno down`, and a line for the operator,
    empty when there was nothing to copy.
    """
    stop = Stop(at=workarea.now(), by="service", limit=most)
    command = [workarea.PROGRAM, "save", "--json", f"--within={COPY_SECONDS:g}", f"--most={most}"]
    try:
        answer = inside.run(client, container, command, COPY_SECONDS + _GRACE)
        saved = workarea.parse_saved(answer)
    except NoProgramError:
        return stop, ""
    except (InsideError, *ENGINE_ERRORS) as error:
        line = f"{container}: it is not known which files existed only there ({error})"
        return stop.model_copy(update={"problem": workarea.UNKNOWN}), line
    return stop.model_copy(update={"saved": saved}), _in_words(container, saved)


def _in_words(container: str, saved: Saved) -> str:
    if not saved.copied.count and not saved.left.count:
        return ""
    where = f" to {saved.directory}" if saved.directory else ""
    left = f", {workarea.files(saved.left)} lost" if saved.left.count else ""
    return f"{container}: {workarea.files(saved.copied)} copied{where}{left}"


def note_name(container: str) -> str:
    """Of the file in the hub's directory that says how the container with this id was stopped."""
    return f"stopped-{container}.json"


def noted(config: Config, container: str) -> Stop | None:
    """How `quaderno down` stopped the container with this id, if it did; told once."""
    path: Path = config.dir / "hub" / note_name(container)
    try:
        stop = Stop.model_validate_json(path.read_bytes())
        path.unlink()
    except (OSError, ValidationError):
        return None
    return stop
