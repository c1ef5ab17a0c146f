"""One `rclone rcd`: starting or adopting the process, and its remote control.

The process is in a session of its own and outlives the agent, so a restart of the agent disturbs
no mount: it is found again through its socket. It holds the lock on its cache directory itself,
so two processes can never use one cache, and the lock ends when it does.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from quaderno.config import Config
from quaderno.errors import StorageError
from quaderno.storage import mounts
from quaderno.storage.mounts import MountPlan

START_DEADLINE = 15  # seconds
QUIT_DEADLINE = 5  # seconds
_PID_DIGITS = 20
CALL_TIMEOUT = 60  # seconds
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a socket of ours; spares loading certificates

Call = tuple[str, dict[str, Any]]  # a command of the remote control, and its parameters


class Rclone:
    """A running rclone; `exited` is set when the process ends."""

    def __init__(self, plan: MountPlan, pid: int, child: subprocess.Popen[bytes] | None) -> None:
        self.pid, self.exited = pid, asyncio.Event()
        self._child, self._socket = child, plan.socket
        self._pidfd = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)
        transport = httpx.AsyncHTTPTransport(uds=str(plan.socket), verify=_NO_TLS)
        self._client = httpx.AsyncClient(
            transport=transport, base_url="http://rclone", timeout=CALL_TIMEOUT
        )

    @classmethod
    def find(cls, plan: MountPlan) -> Self | None:
        """The rclone that an earlier agent started, if it lives; it may not answer."""
        pid = _lock_holder(plan)
        if pid is None:
            return None
        try:
            return cls(plan, pid, None)
        except ProcessLookupError:
            return None

    @classmethod
    async def start(cls, config: Config, plan: MountPlan) -> Self:
        """A new rclone whose socket answers. Raises StorageError."""
        child = _spawn(config, plan)
        rclone = cls(plan, child.pid, child)
        deadline = time.monotonic() + START_DEADLINE
        while not await rclone.answers():
            if rclone.exited.is_set() or time.monotonic() > deadline:
                await rclone.kill()
                log = plan.state / "rclone.log"
                raise StorageError(f"rclone did not start for {plan.username}", f"See {log}")
            await asyncio.sleep(0.01)  # nothing announces a socket
        return rclone

    async def call(
        self, command: str, *, within: float = CALL_TIMEOUT, **parameters: Any
    ) -> dict[str, Any]:
        """Do `command` within so many seconds; raises StorageError with rclone's reason."""
        try:
            answer = await self._client.post(f"/{command}", json=parameters, timeout=within)
        except (httpx.HTTPError, RuntimeError) as error:  # RuntimeError: it was ended meanwhile
            raise StorageError(f"rclone does not answer {command}: {error!r}") from error
        body = _object(answer)
        if answer.status_code != 200:
            reason = body.get("error", f"HTTP {answer.status_code}")
            raise StorageError(f"rclone: {command}: {reason}")
        return body

    async def batch(self, calls: Sequence[Call], *, within: float) -> list[dict[str, Any]]:
        """Do all of `calls` side by side; raises StorageError with the first reason."""
        inputs = [{"_path": command, **parameters} for command, parameters in calls]
        answer = await self.call("job/batch", within=within, inputs=inputs)
        for (command, _), result in zip(calls, answer["results"], strict=True):
            if "error" in result and "status" in result:
                raise StorageError(f"rclone: {command}: {result['error']}")
        return list(answer["results"])

    async def answers(self) -> bool:
        """Whether it is this process that answers on the socket."""
        if not self._socket.exists():
            return False
        try:
            return bool((await self.call("core/pid", within=5)).get("pid") == self.pid)
        except StorageError:
            return False

    async def quit(self) -> None:
        """End it in order; its uploads must be finished."""
        try:
            await self.call("core/quit", within=QUIT_DEADLINE)
            await asyncio.wait_for(self.exited.wait(), QUIT_DEADLINE)
        except (StorageError, TimeoutError):
            pass  # it is ended below
        await self.kill()

    async def kill(self) -> None:
        """End it now, if it has not ended; what it was to upload stays in its cache."""
        if not self.exited.is_set():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            await self.exited.wait()
        await self._client.aclose()

    def _on_exit(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        if self._child is not None:
            self._child.wait()
        os.close(self._pidfd)
        self.exited.set()


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise StorageError(f"rclone answers HTTP {answer.status_code} and no JSON object")
    return body


def _spawn(config: Config, plan: MountPlan) -> subprocess.Popen[bytes]:
    lock = os.open(plan.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"Another process uses {plan.cache}", "End it") from None
        plan.socket.unlink(missing_ok=True)
        child = subprocess.Popen(
            mounts.rclone_command(Path(sys.prefix) / "bin" / "rclone", plan),
            env=mounts.rclone_environment(config, plan),
            cwd=plan.state,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock,),
        )
        os.pwrite(lock, f"{child.pid:<{_PID_DIGITS}}".encode(), 0)  # in one step: it is never empty
        return child
    finally:
        os.close(lock)  # rclone's copy keeps the lock


def is_there(plan: MountPlan) -> bool:
    """Whether an rclone uses the cache, and serves what is mounted."""
    try:
        lock = os.open(plan.lock, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _lock_holder(plan: MountPlan) -> int | None:
    """The process that uses the cache; None when nobody does."""
    if not is_there(plan):
        return None
    with contextlib.suppress(ValueError):  # whoever it is, rclone cannot be started
        return int(plan.lock.read_bytes()[:_PID_DIGITS]) or None
    return None
