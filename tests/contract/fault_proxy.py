"""A TCP proxy between the agent's node and the store that can be away, or refuse everything.

It notes what passes, so that tests can count requests.
"""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

Mode = Literal["pass", "away", "deny"]
_REFUSAL = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code>'
    b"<Message>Access Denied.</Message></Error>"
)


class Request(NamedTuple):
    """One request to the store; `method` is COPY where a PUT names an object to copy."""

    method: str
    path: str  # /bucket/key, decoded

    @property
    def changes(self) -> bool:
        """Whether it writes to the store; of an upload in parts, each part counts."""
        return self.method not in ("GET", "HEAD")


class FaultProxy:
    """Listens on a port of its own; a new mode ends the connections of the one before."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: Mode = "pass"
        self.requests: list[Request] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    def switch(self, mode: Mode) -> None:
        with self._lock:
            self._mode = mode
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def changes(self, below: str = "/") -> list[Request]:
        """The requests so far that write to objects below a path, oldest first."""
        return [one for one in self.requests if one.changes and one.path.startswith(below)]

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self.switch("away")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            mode = self._mode
            self._connections.add(client)
        with client, contextlib.suppress(OSError):
            if mode == "deny":
                self._refuse(client)
            elif mode == "pass":
                with socket.create_connection(("127.0.0.1", self._target)) as store:
                    _splice(client, store, _Reader(self.requests))
        with self._lock:
            self._connections.discard(client)

    def _refuse(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            read = client.recv(65536)
            if not read:
                return  # closed before a request, by the client or by a new mode
            head += read
        head, _, body = head.partition(b"\r\n\r\n")
        left = _content_length(head) - len(body)
        while left > 0 and (read := client.recv(min(left, 65536))):
            left -= len(read)
        client.sendall(
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n"
            % len(_REFUSAL)
            + (b"" if head.startswith(b"HEAD") else _REFUSAL)
        )


class _Reader:
    """Finds the requests in what a client sends on one connection (HTTP/1.1, RFC 9112)."""

    def __init__(self, found: list[Request]) -> None:
        self._found = found
        self._head = b""
        self._body_left = 0  # bytes

    def feed(self, data: bytes) -> None:
        while data:
            skipped = min(len(data), self._body_left)
            self._body_left -= skipped
            self._head += data[skipped:]
            head, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            self._head = b""
            self._note(head)

    def _note(self, head: bytes) -> None:
        assert b"\r\ntransfer-encoding:" not in head.lower(), "a body whose end is not known"
        method, target, _ = head.partition(b"\r\n")[0].decode().split(" ")
        if b"\r\nx-amz-copy-source:" in head.lower():
            method = "COPY"
        self._found.append(Request(method, unquote(urlsplit(target).path)))
        self._body_left = _content_length(head)


def _content_length(head: bytes) -> int:
    """In bytes; 0 where there is no body."""
    lines = head.lower().split(b"\r\n")
    return sum(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))


def _splice(client: socket.socket, store: socket.socket, reader: _Reader) -> None:
    while True:
        for ready in select.select([client, store], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            if ready is client:
                reader.feed(data)
            (store if ready is client else client).sendall(data)
