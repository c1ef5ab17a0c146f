"""Runs a program in a person's container, for a limited time and a limited answer.

The program is whatever the person's image, or the person, has put there. It can answer anything,
for ever, or not at all; whoever asks must not believe it more than the person themselves.
"""

import socket
import threading
import time
from http import HTTPStatus
from typing import Any

import requests
from docker import APIClient
from docker.errors import APIError, DockerException
from docker.utils.socket import STDOUT, frames_iter

# What talking to the engine may raise; APIError and NotFound are among them.
ENGINE_ERRORS = (DockerException, requests.RequestException)
MOST_OUTPUT = 2**20  # bytes
_NO_SUCH_PROGRAM = (126, 127)  # exit status, as of a shell
_NOT_FOUND = "executable file not found"


class InsideError(Exception):
    """The program gave no answer; the text is for the log."""


class NoProgramError(InsideError):
    """The image does not have it."""


def run(client: APIClient, container: str, command: list[str], within: float) -> bytes:
    """What `command` prints in `container`, with its user and environment.

    Raises NoProgramError; InsideError when it fails, says too much, or nothing in `within` seconds;
    and one of ENGINE_ERRORS when the engine does not answer or knows no such container.
    """
    deadline = time.monotonic() + within
    try:
        identifier = client.exec_create(container, command)["Id"]
        stream = client.exec_start(identifier, socket=True)
    except APIError as error:
        raise _refused(error) from error
    # The engine's client gives a file of its socket, but the socket itself where that has TLS.
    connection = getattr(stream, "_sock", stream)
    timer = threading.Timer(within, _hang_up, [connection])
    timer.start()
    try:
        output = _read(stream)
    finally:
        timer.cancel()
        _hang_up(connection)
        stream.close()
        connection.close()
    if time.monotonic() >= deadline:
        raise InsideError(f"{command[0]} did not answer within {within:g} s")
    code = client.exec_inspect(identifier)["ExitCode"]
    if code in _NO_SUCH_PROGRAM:
        raise NoProgramError(f"there is no {command[0]}")
    if code != 0:
        raise InsideError(f"{command[0]} ended with code {code}")
    return output


def _refused(error: APIError) -> Exception:
    """A container that is paused or has stopped is its own affair; the rest is the engine's."""
    if _NOT_FOUND in str(error.explanation):
        return NoProgramError("there is no such program")
    if error.status_code == HTTPStatus.CONFLICT:
        return InsideError(str(error.explanation))
    return error


def _read(stream: Any) -> bytes:
    output = b""
    try:
        for kind, chunk in frames_iter(stream, tty=False):  # type: ignore[no-untyped-call]
            output += chunk if kind == STDOUT else b""
            if len(output) > MOST_OUTPUT:
                raise InsideError(f"an answer of more than {MOST_OUTPUT} bytes")
    except OSError as error:
        raise InsideError(f"the answer broke off: {error}") from error
    return output


def _hang_up(connection: Any) -> None:
    """Wakes the thread that reads; the engine goes on running the program."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
