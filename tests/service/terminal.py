"""Two people at work: their servers, and a terminal in each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.service import http_person
from tests.service.running import Hub, Service

PEOPLE = ("ada", "bob")


@contextmanager
def servers(service: Service, hub: Hub, **options: Any) -> Iterator[None]:
    """Ada's and Bob's servers, started anew, whatever ran before."""
    for username in PEOPLE:
        http_person.log_in(service, username)
        if hub.running(username):
            hub.stop(username)
        hub.start(username, **options)
        service.await_storage(username)
    yield
    for username in PEOPLE:
        if hub.running(username):
            hub.stop(username)


def terminal(service: Service, username: str, command: str) -> tuple[int, str]:
    """Exit status and output of a command in a terminal."""
    container = service.container(username)
    done = container.exec_run(["bash", "-lc", command], workdir="/workarea")
    return done.exit_code, done.output.decode().strip()


def printed(service: Service, username: str, command: str) -> str:
    """The output of what must succeed."""
    status, output = terminal(service, username, command)
    assert status == 0, output
    return output


def own_token(service: Service, username: str) -> str:
    """The token with which a person's server asks the hub."""
    return service.inside(username, "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")[1]
