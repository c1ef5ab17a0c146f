"""The end of all servers in `quaderno down`: nobody is asked, and it is the next hub that tells."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import docker
from docker.errors import APIError, NotFound

from quaderno import host, network
from quaderno.config import Config
from quaderno.errors import ComponentError
from quaderno.host import Progress
from quaderno.hub.leaving import STOP_SECONDS, keep, note_name

Note = Callable[[str, str], None]  # leaves the hub a file: its name, its text


def stop_all(config: Config, note: Note, progress: Progress) -> int:
    """End the containers of people's servers, all at once, after copying what exists only there.

    `note` leaves word for the next hub. Returns how many there were; raises ComponentError when one
    does not end.
    """
    if not host.engine_answers():
        return 0
    with host.engine(timeout=STOP_SECONDS + 40) as client:
        label = f"{network.LABEL}={config.instance}"
        found = client.containers(filters={"label": label})
        if found:
            progress(f"Stopping {len(found)} notebook server(s)")
            with ThreadPoolExecutor(16) as pool:
                for said in pool.map(lambda entry: _stop(config, client, entry, note), found):
                    if said:
                        progress(said)
    return len(found)


def _stop(config: Config, client: docker.APIClient, entry: dict[str, Any], note: Note) -> str:
    """What is to be said of it."""
    name = entry["Names"][0][1:]
    stop, said = keep(client, name, config.servers.saved_size)
    with suppress(OSError):  # of a full disk, say: people are told less then
        note(note_name(entry["Id"]), stop.model_dump_json())
    try:
        client.stop(name, timeout=STOP_SECONDS)
    except NotFound:
        return said
    except APIError as error:
        raise ComponentError(
            f"a server's container does not stop: {error.explanation}", f"docker rm -f {name}"
        ) from error
    return said
