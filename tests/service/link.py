"""What lies between two sites: TCP connections one way, which a test can cut."""

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator


class Link(socketserver.ThreadingTCPServer):
    """Listens on a port of its own, and passes everything on to `target`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.whole = True
        self.ends: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)

    @property
    def address(self) -> str:
        """`host:port` of the near end."""
        return "{}:{}".format(*self.server_address[:2])

    def cut(self) -> None:
        """End what is open, and let nothing through."""
        self.whole = False
        for end in list(self.ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let everything through again."""
        self.whole = True

    @contextlib.contextmanager
    def serving(self) -> Iterator["Link"]:
        thread = threading.Thread(target=self.serve_forever, args=[0.05])
        thread.start()
        with self:
            try:
                yield self
            finally:
                self.cut()
                self.shutdown()
                thread.join()


class _Connection(socketserver.BaseRequestHandler):
    server: Link

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            if self.server.whole:
                with socket.create_connection(self.server.target) as far:
                    self._pass_on(self.request, far)

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        self.server.ends |= other.keys()
        try:
            while self.server.whole:
                for ready in select.select([near, far], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    other[ready].sendall(data)
        finally:
            self.server.ends -= other.keys()
