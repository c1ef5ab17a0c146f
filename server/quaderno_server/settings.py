"""JupyterLab's settings and workspaces, which follow the person through their bucket.

JupyterLab reads and writes its own directories in the container: at once, whether storage is
there or not. `Follower` brings what the bucket has, once, as soon as the bucket is there, and from
then on takes to it each file that changes. In the bucket itself, settings would be missing from a
server that starts while storage is away, could not be saved, and would be replaced by defaults
when it is back.

Of a file that two servers change, the later change stays. A change is in the bucket, whole, within
`EVERY` seconds, so that even the end of a server by a signal 9 loses no more.

A page that was loaded before the bucket was there knows nothing of what is in it, and saves each
file as a whole. What it cannot know is put back into such a file (`unseen`), and the one that it
replaces is kept in the bucket once.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

EVERY = 1.0  # seconds between looks for changes
WHILE_AWAY = 10.0  # seconds between tries while the bucket does not take them
SOONEST, LATEST = 0.05, 2.0  # seconds between looks for the bucket
SETTINGS, WORKSPACES, EARLIER = "user-settings", "workspaces", "earlier"
SUFFIXES = (".jupyterlab-settings", ".jupyterlab-workspace")
IN_BUCKET = Path(".quaderno", "lab")


class Log(Protocol):
    """What is told of a bucket that does not take settings."""

    def warning(self, message: str, *arguments: Any) -> None: ...


class Folder:
    """One directory of JupyterLab's, `here`, and its copy in the bucket, `there`."""

    def __init__(self, here: Path, there: Path, log: Log, *, merges: bool) -> None:
        self._here, self._there, self._log, self._merges = here, there, log, merges
        self._earlier = there.with_name(EARLIER)
        self._left_alone: set[str] = set()
        self._unseen: dict[str, Unseen] = {}
        # By name, as last seen on both sides: at first what the image brought, which is nobody's.
        self._known = _read(here)
        self._looks = _looks(here)

    def fetch(self) -> dict[str, bytes]:
        """All that the bucket has, to be handed to `take`. Raises OSError."""
        return _read(self._there)

    def take(self, theirs: Mapping[str, bytes], *, late: bool = False) -> None:
        """Put what was fetched where JupyterLab finds it; `late`, when a page may have been there
        before. Raises OSError.

        Who changed a setting before it was there keeps that one, and gets all others of the file.
        A workspace is then left as it is in the bucket until the next server: here, JupyterLab has
        been saving one that it began with nothing.
        """
        ours = _read(self._here)
        for name, content in theirs.items():
            if not _is_whole(content):
                self._log.warning("%s is not readable", self._there / name)
                continue
            mine = ours.get(name, content)
            changed = mine not in (content, self._known.get(name)) and _is_whole(mine)
            self._known[name] = content
            if not changed:
                _write(self._here / name, content)
            elif self._merges:
                _write(self._here / name, _merged(content, mine))
            else:
                self._left_alone.add(name)
            if late and self._merges:
                self._unseen[name] = Unseen(content, mine if changed else b"{}")

    def send(self) -> None:
        """Take to the bucket what changed here since the last look. Raises OSError."""
        looks = _looks(self._here)
        if looks == self._looks:
            return
        ours = _read(self._here)
        for name, content in ours.items():
            changed = content != self._known.get(name) and name not in self._left_alone
            if changed and _is_whole(content):
                whole = self._with_unseen(name, content)
                _write(self._there / name, whole)
                self._known[name] = whole
        for name in self._known.keys() - ours.keys() - self._left_alone:
            (self._there / name).unlink(missing_ok=True)
            del self._known[name]
        self._looks = looks

    def _with_unseen(self, name: str, content: bytes) -> bytes:
        """What JupyterLab saved, with what its page could not know; here, too."""
        unseen = self._unseen.get(name)
        if unseen is None:
            return content
        if unseen.brought:
            _write(self._earlier / name, unseen.brought)
            unseen.brought = b""
        whole = unseen.added_to(content)
        if whole != content and (self._here / name).read_bytes() == content:
            _write(self._here / name, whole)
        return whole


class Unseen:
    """Of one file of settings: what a page that was there before the bucket does not know.

    `brought` is the file of the bucket, until it has been kept. `page` is what the page had.
    """

    def __init__(self, brought: bytes, page: bytes) -> None:
        self.brought = brought
        self._page = _parsed(page)
        self._settings = {
            name: value for name, value in _parsed(brought).items() if name not in self._page
        }
        self._last = {**self._settings, **self._page}

    def added_to(self, content: bytes) -> bytes:
        """With the settings that are missing, unless somebody who knew them has removed them.

        Who knew them removes one of them and changes nothing else, or resets them all.
        """
        new = _parsed(content)
        missing = {name: self._settings[name] for name in self._settings.keys() - new.keys()}
        removed_one = len(missing) == 1 and {**new, **missing} == self._last and new != self._page
        if not missing or not new or removed_one:
            self._settings = {name: new[name] for name in self._settings.keys() & new.keys()}
            self._last = new
            return content
        self._page, self._last = new, {**missing, **new}
        return json.dumps(self._last, indent=4).encode()


class Follower:
    """Keeps JupyterLab's directories and the person's `bucket` alike, in a thread of its own."""

    def __init__(self, settings: Path, workspaces: Path, bucket: Path, log: Log) -> None:
        self._bucket, self._log = bucket, log
        there = bucket / IN_BUCKET
        self._folders = (
            Folder(settings, there / SETTINGS, log, merges=True),
            Folder(workspaces, there / WORKSPACES, log, merges=False),
        )
        self._told = self._late = False

    def start(self) -> None:
        """Begin; returns at once. A mount may be slow to answer: nobody waits for it."""
        threading.Thread(target=self._run, name="quaderno-settings", daemon=True).start()

    def _run(self) -> None:
        pause = SOONEST
        while not self.fetch():
            self._late = True
            time.sleep(pause)
            pause = min(1.2 * pause, LATEST)
        while True:
            time.sleep(EVERY if self.send() else WHILE_AWAY)

    def fetch(self) -> bool:
        """Bring what the bucket has; False while it is not there."""
        try:
            found = [(folder, folder.fetch()) for folder in self._folders]
            # Looked at last: what goes away meanwhile looks like a bucket with nothing in it.
            if not self._bucket.is_mount():
                return False
            for folder, theirs in found:
                folder.take(theirs, late=self._late)
        except OSError as error:
            self._tell("Settings of JupyterLab cannot be read", error)
            return False
        self._told = False
        return True

    def send(self) -> bool:
        """Take changes to the bucket; False when it did not take them."""
        try:
            for folder in self._folders:
                folder.send()
        except OSError as error:
            self._tell("Settings of JupyterLab are not saved yet", error)
            return False
        self._told = False
        return True

    def _tell(self, what: str, error: OSError) -> None:
        """Once, until it is over."""
        if not self._told:
            self._log.warning("%s: %s", what, error)
        self._told = True


# --- files


def _names(directory: Path) -> list[str]:
    """Settings and workspaces below `directory`; none where it does not exist. Raises OSError."""
    if not directory.exists():
        return []
    found = []
    for child in directory.iterdir():
        if child.is_dir():
            found += [f"{child.name}/{name}" for name in _names(child)]
        elif child.suffix in SUFFIXES:
            found.append(child.name)
    return found


def _read(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in _names(directory)}


def _looks(directory: Path) -> dict[str, tuple[int, int]]:
    """What tells a change without reading: times in nanoseconds, and sizes in bytes."""
    status = {name: (directory / name).stat() for name in _names(directory)}
    return {name: (found.st_mtime_ns, found.st_size) for name, found in status.items()}


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, whatever ends this program. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        new.write_bytes(content)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


# --- contents: JSON with comments, as JupyterLab writes and reads it


def _is_whole(content: bytes) -> bool:
    """Whether JupyterLab could read it; it does not start with a file that it cannot read."""
    try:
        return isinstance(_parsed(content), dict)
    except (ValueError, RecursionError):
        return False


def _parsed(content: bytes) -> Any:
    text = content.decode()
    try:
        return json.loads(text)
    except ValueError:
        import json5  # JupyterLab's; a hundred times slower

        return json5.loads(text)


def _merged(theirs: bytes, ours: bytes) -> bytes:
    return json.dumps({**_parsed(theirs), **_parsed(ours)}, indent=4).encode()
