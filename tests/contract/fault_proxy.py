"""A TCP proxy between the agent's node and the store that can be away, or refuse everything."""

import contextlib
import select
import socket
import threading
from collections.abc import Iterator
from typing import Literal

Mode = Literal["pass", "away", "deny"]
_REFUSAL = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code>'
    b"<Message>Access Denied.</Message></Error>"
)


class FaultProxy:
    """Listens on a port of its own; a new mode ends the connections of the one before."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode: Mode = "pass"
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
                    _splice(client, store)
        with self._lock:
            self._connections.discard(client)

    def _refuse(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        head, _, body = head.partition(b"\r\n\r\n")
        lengths = [
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        left = sum(lengths) - len(body)
        while left > 0 and (read := client.recv(min(left, 65536))):
            left -= len(read)
        client.sendall(
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n"
            % len(_REFUSAL)
            + (b"" if head.startswith(b"HEAD") else _REFUSAL)
        )


def _splice(one: socket.socket, other: socket.socket) -> None:
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            (other if ready is one else one).sendall(data)
