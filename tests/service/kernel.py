"""A kernel of a running server, over the same websocket that JupyterLab holds."""

import json
import uuid
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.service import http_person
from tests.service.running import Service


class Kernel:
    """Starts a kernel in a person's server and keeps one websocket to it."""

    def __init__(self, service: Service, username: str, password: str | None = None) -> None:
        self._service, self._username, self._password = service, username, password
        self._base = f"{service.config.public_url}/user/{username}/"
        self._session = uuid.uuid4().hex

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._client = stack.enter_context(
                http_person.logged_in(self._service, self._username, self._password)
            )
            # Visiting the server logs the browser in there.
            self._client.get(f"{self._base}lab")
            answer = self._client.post(f"{self._base}api/kernels", headers=self._headers())
            assert answer.status_code == 201, answer.text
            self._id = answer.json()["id"]
            self._sockets = stack.enter_context(ExitStack())
            self.reconnect()
            self._leave = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave.close()

    def _headers(self) -> dict[str, str]:
        tokens = [c for c in self._client.cookies.jar if c.name == "_xsrf"]
        own = [c.value for c in tokens if c.path and c.path.startswith("/user/")]
        cookies = "; ".join(f"{c.name}={c.value}" for c in self._client.cookies.jar)
        return {"X-XSRFToken": (own or [""])[0] or "", "Referer": self._base, "Cookie": cookies}

    def reconnect(self) -> None:
        """Open the websocket, again where the edge was lost."""
        url = f"{self._base}api/kernels/{self._id}/channels?session_id={self._session}"
        headers = {"Cookie": self._headers()["Cookie"]}
        self._sockets.close()
        self._socket = self._sockets.enter_context(channels(url, headers))

    def begin(self, code: str) -> str:
        """Run `code` and wait for nothing; the number of the request."""
        return begin(self._socket, self._session, code)

    def printed(self, within: float) -> str:
        """What was printed next, by whatever runs; nothing when the kernel says something else, or
        nothing for `within` seconds. Raises ConnectionClosed."""
        try:
            reply = json.loads(self._socket.recv(timeout=within))
        except TimeoutError:
            return ""
        return str(reply["content"]["text"]) if reply["header"]["msg_type"] == "stream" else ""

    def interrupt(self) -> None:
        """As with the stop button."""
        url = f"{self._base}api/kernels/{self._id}/interrupt"
        assert self._client.post(url, headers=self._headers()).is_success

    def save(self, path: str, notebook: dict[str, Any]) -> httpx.Response:
        """As JupyterLab saves it, at `path` of the person's own storage."""
        url = f"{self._base}api/contents/cloud_storage/{self._username}/{path}"
        body = {"type": "notebook", "format": "json", "content": notebook}
        return self._client.put(url, headers=self._headers(), json=body)

    def run(self, code: str) -> str:
        """Run `code` and return what it printed; fails the test on an error or silence."""
        return run(self._socket, self._session, code)


# --- on the websocket of any kernel


def channels(url: str, headers: dict[str, str]) -> ClientConnection:
    """It opens when the kernel has begun, and asks nobody for signs of life, as a browser's."""
    address = url.replace("http", "ws", 1)
    return connect(address, additional_headers=headers, open_timeout=60, ping_interval=None)


def begin(socket: ClientConnection, session: str, code: str) -> str:
    """As `Kernel.begin`."""
    message = _execute_request(code, session)
    socket.send(json.dumps(message))
    return str(message["header"]["msg_id"])


def run(socket: ClientConnection, session: str, code: str) -> str:
    """As `Kernel.run`."""
    request = begin(socket, session, code)
    printed = ""
    while True:
        reply = json.loads(socket.recv(timeout=120))
        if reply["parent_header"].get("msg_id") != request:
            continue
        kind, content = reply["header"]["msg_type"], reply["content"]
        if kind == "stream":
            printed += content["text"]
        assert kind != "error", content
        if kind == "status" and content["execution_state"] == "idle":
            return printed


def _execute_request(code: str, session: str) -> dict[str, Any]:
    """Jupyter's messaging protocol, version 5.3, `execute_request`."""
    return {
        "channel": "shell",
        "header": {
            "msg_id": uuid.uuid4().hex,
            "session": session,
            "username": "",
            "date": "",
            "msg_type": "execute_request",
            "version": "5.3",
        },
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False, "store_history": False, "stop_on_error": True},
    }
