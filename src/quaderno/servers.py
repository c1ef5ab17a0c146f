"""The end of all servers in `quaderno down`: nobody is asked, and no page is there to tell."""

from concurrent.futures import ThreadPoolExecutor

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from quaderno import host, network
from quaderno.config import Config
from quaderno.errors import ComponentError
from quaderno.host import Progress
from quaderno.hub import inside, workarea
from quaderno.hub.inside import InsideError, NoProgramError

STOP_SECONDS = 20  # for a server to save its state before it is killed
COPY_SECONDS = 120.0  # for a server to copy what exists only there
_GRACE = 10.0


def stop_all(config: Config, progress: Progress) -> int:
    """End the containers of people's servers, all at once, after copying what exists only there.

    Returns how many there were; raises ComponentError when one does not end.
    """
    if not host.engine_answers():
        return 0
    with host.engine(timeout=STOP_SECONDS + 40) as client:
        label = f"{network.LABEL}={config.instance}"
        found = [entry["Names"][0][1:] for entry in client.containers(filters={"label": label})]
        if found:
            progress(f"Stopping {len(found)} notebook server(s)")
            with ThreadPoolExecutor(16) as pool:
                for said in pool.map(lambda name: _stop(config, client, name), found):
                    if said:
                        progress(said)
    return len(found)


def _stop(config: Config, client: docker.APIClient, name: str) -> str:
    """What is to be said of it."""
    said = keep(client, name, config.servers.saved_size)
    try:
        client.stop(name, timeout=STOP_SECONDS)
    except NotFound:
        return said
    except APIError as error:
        raise ComponentError(
            f"a server's container does not stop: {error.explanation}", f"docker rm -f {name}"
        ) from error
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
    except (InsideError, DockerException, requests.RequestException) as error:
        return f"{container}: it is not known which files existed only there ({error})"
    if not saved.copied.count and not saved.left.count:
        return ""
    where = f" to {saved.directory}" if saved.directory else ""
    left = f", {workarea.files(saved.left)} lost" if saved.left.count else ""
    return f"{container}: {workarea.files(saved.copied)} copied{where}{left}"
