"""How much a person's `local` directory may hold on this node, and holds.

It is limited where the file system has project quotas (`project_quota`), by a project for each
person. The directories themselves are the register of the numbers that are taken.
"""

import logging
import threading
from pathlib import Path
from typing import Any

from quaderno.config import Config
from quaderno.quantities import say_amount
from quaderno.storage import project_quota
from quaderno.storage.mounts import MountPlan

LOG = logging.getLogger("quaderno.agent")
_FIRST = 1 << 20  # numbers below may be somebody else's
_ONE_WALK = threading.Lock()  # at a time, whoever's


class Local:
    """One person's; `plan.local` must be there."""

    def __init__(self, config: Config, plan: MountPlan) -> None:
        self._wanted, self._directory, self._all = (
            config.servers.local_quota,
            plan.local,
            config.local,
        )
        self._walked = False

    def limit(self) -> None:
        """Have the directory limited as the settings say; what it holds already is counted in
        the background, once in the life of an agent. A file system that cannot is no error."""
        try:
            number = project_quota.project(self._directory)
            if not number and self._wanted and project_quota.enforced(self._directory):
                number = _next(self._all)
                project_quota.put(self._directory, number)
            if number:
                project_quota.set_limit(self._directory, number, self._wanted)
                self._count(number)
        except OSError as error:
            LOG.warning("%s is not limited: %s", self._directory, error)

    def describe(self) -> dict[str, Any] | None:
        """Limit and use in bytes, and a text about them; None where the kernel does not know."""
        try:
            number = project_quota.project(self._directory)
            if not number:
                return None
            found = project_quota.limit(self._directory, number)
        except OSError:
            return None
        of = f" of {say_amount(found.limit)}" if found.limit else ""
        text = f"{say_amount(found.used)}{of} used"
        return {"limit": found.limit, "used": found.used, "text": text}

    def _count(self, number: int) -> None:
        if not self._walked:
            self._walked = True
            walk = threading.Thread(target=self._walk, args=(number,), daemon=True)
            walk.start()

    def _walk(self, number: int) -> None:
        try:
            with _ONE_WALK:
                project_quota.put_all(self._directory, number)
        except OSError as error:
            LOG.warning("%s is not counted as a whole: %s", self._directory, error)


def _next(directory: Path) -> int:
    """A number that none of the directories has."""
    taken = (project_quota.project(path) for path in directory.iterdir())
    return max(_FIRST, *taken) + 1
