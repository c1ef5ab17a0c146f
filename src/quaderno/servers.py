"""The end of all servers in `quaderno down`: nobody is asked, and no page is there to tell."""

from concurrent.futures import ThreadPoolExecutor

import docker
from docker.errors import APIError, NotFound

from quaderno import host, network
from quaderno.config import Config
from quaderno.errors import ComponentError
from quaderno.host import Progress
from quaderno.hub.leaving import STOP_SECONDS, keep


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
