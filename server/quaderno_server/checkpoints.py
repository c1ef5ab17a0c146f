"""The checkpoints of notebooks and files: in one place on this machine, not beside each of them.

Upstream's managers put them into `.ipynb_checkpoints` beside the notebook, which in `cloud_storage`
uploads the notebook once more and fills the bucket with hidden directories. A setting alone cannot
move them: notebooks of one name would share a checkpoint.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from jupyter_server.services.contents.filecheckpoints import AsyncFileCheckpoints
from tornado.web import HTTPError

from quaderno_server import kept

_LASTING = (("cloud_storage",), ("local",))  # of the work area; all else goes with the server
_ID = "checkpoint"


class Checkpoints(AsyncFileCheckpoints):
    """One checkpoint a file, in a tree that has the directories of the work area."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._lasting: Path = kept.place("checkpoints")
        self._passing: Path = kept.PASSING / "checkpoints"

    # --- where they are

    def checkpoint_path(self, checkpoint_id: str, path: str) -> str:
        """As upstream's, also in that its directory is there; raises HTTPError for a path that
        leads out of the work area."""
        parent, _, name = path.strip("/").rpartition("/")
        stem, suffix = Path(name).stem, Path(name).suffix
        directory = self._tree(parent) / self.checkpoint_dir
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            if not self._do_without_local(error):
                raise
            return self.checkpoint_path(checkpoint_id, path)
        return str(directory / f"{stem}-{checkpoint_id}{suffix}")

    def _tree(self, path: str) -> Path:
        """Where the checkpoints of all in the directory `path` are."""
        relative = Path(self._get_os_path(path)).relative_to(Path(self.root_dir).absolute())
        lasting = relative.parts[:1] in _LASTING
        return (self._lasting if lasting else self._passing) / relative

    def _do_without_local(self, error: OSError) -> bool:
        """Keep checkpoints in the container from now on; False when that is done already."""
        if self._lasting == self._passing:
            return False
        self.log.warning("Checkpoints do not outlive this server: %s", error)
        self._lasting = self._passing
        return True

    # --- what is done with them

    async def create_checkpoint(self, contents_mgr: Any, path: str) -> Any:
        """A whole copy or none; in the container when `local` is full, so that a notebook that was
        saved never counts as not saved."""
        source = contents_mgr._get_os_path(path)
        target = self.checkpoint_path(_ID, path)
        try:
            await run_sync(_copy, source, target)
        except OSError as error:
            if kept.has_room(Path(target).parent) or not self._do_without_local(error):
                raise
            target = self.checkpoint_path(_ID, path)
            await run_sync(_copy, source, target)
        return await self.checkpoint_model(_ID, target)

    async def rename_all_checkpoints(self, old_path: str, new_path: str) -> None:
        """Those of a file, or of all in a directory, which upstream's move along by themselves."""
        with self._afterwards(old_path):
            await super().rename_all_checkpoints(old_path, new_path)
            if self._tree(old_path).is_dir():
                await run_sync(_move, self._tree(old_path), self._tree(new_path))

    async def delete_all_checkpoints(self, path: str) -> None:
        """Those of a file, or of all in a directory."""
        with self._afterwards(path):
            await super().delete_all_checkpoints(path)
            if self._tree(path).is_dir():
                await run_sync(shutil.rmtree, self._tree(path))

    @contextmanager
    def _afterwards(self, path: str) -> Iterator[None]:
        """The file itself is renamed or deleted by now: what fails here must not deny it."""
        try:
            yield
        except (OSError, HTTPError) as error:
            self.log.warning("Checkpoints of %s stay behind: %s", path, error)


def _copy(source: str, target: str) -> None:
    new = f"{target}.{secrets.token_hex(4)}"
    try:
        shutil.copy2(source, new)
        Path(new).replace(target)
    except OSError:
        Path(new).unlink(missing_ok=True)
        raise


def _move(old: Path, new: Path) -> None:
    if new.is_dir():  # of something that is no longer there
        shutil.rmtree(new)
    new.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.move(str(old), str(new))
