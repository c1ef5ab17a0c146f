"""The directories of one person's mounts on this node, made as root without trusting what is there.

Below a mount that is missing lies a directory of root's that nobody may write into: a write fails
at once instead of landing on this machine's disk, out of sight.
"""

import contextlib
import errno
import json
import logging
import os
import secrets
import shutil
from pathlib import Path

from quaderno.config import Config
from quaderno.storage import description_disk, durable, mount_table, mounts
from quaderno.storage.mounts import MountPlan
from quaderno.storage.unrepeated import REPEATED

LOG = logging.getLogger("quaderno.agent")
_TOKEN_BYTES, _TOKEN_LENGTH = 32, 43  # and in base64 without padding


def prepare_node(config: Config) -> None:
    """The directories that all people share; idempotent. Raises OSError."""
    agent = config.dir / "agent"
    agent.mkdir(parents=True, exist_ok=True)
    agent.chmod(0o711)  # the hub passes through it on its way to the socket
    for path in (mounts.users_directory(config), config.mounts, config.local):
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)
    mount_table.make_shared(config.mounts)
    description_disk.ensure(config)


def prepare_binds(plan: MountPlan) -> None:
    """What a server binds, before any mount: an engine would make what it does not find.

    Raises OSError.
    """
    _prepare_mountpoint(plan.root)
    _prepare_local(plan)


def _prepare_local(plan: MountPlan) -> None:
    """The person's `local` directory, theirs alone; never follows a link."""
    with contextlib.suppress(FileExistsError):
        plan.local.mkdir(mode=0o700)
    descriptor = os.open(plan.local, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(descriptor, mounts.UID, mounts.GID)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def prepare_mountpoints(plan: MountPlan) -> None:
    """Empty, read-only mount points with nothing mounted, and the notice. Raises OSError."""
    mount_table.unmount_all(plan.root)
    nested = plan.areas[-1].mountpoint
    for path in (plan.root, *(area.mountpoint for area in plan.areas if area.mountpoint != nested)):
        _prepare_mountpoint(path)
    try:
        durable.replace(plan.notice, mounts.NOTICE, 0o444)
    except OSError as error:
        if error.errno != errno.ENOSPC:  # a full disk keeps nobody from their files
            raise
        LOG.warning("%s: %s", plan.notice, error.strerror, extra=REPEATED)


def _prepare_mountpoint(path: Path) -> None:
    path.mkdir(mode=0o555, exist_ok=True)
    path.chmod(0o555)


def prepare_state(config: Config, plan: MountPlan) -> None:
    """rclone's configuration and token; both stay the same over restarts. Raises OSError."""
    for path in (plan.state, plan.cache):
        path.mkdir(mode=0o700, exist_ok=True)
    shutil.rmtree(plan.unfinished, ignore_errors=True)
    description_disk.place(config, plan)
    durable.replace(plan.rclone_config, mounts.rclone_config(config, plan.areas))
    if not load_token(plan):
        durable.replace(plan.token, secrets.token_urlsafe(_TOKEN_BYTES))


def load_token(plan: MountPlan) -> str:
    """What rclone shows to the agent; nothing while there is none, or not the whole of it."""
    try:
        token = plan.token.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""
    return token if len(token) == _TOKEN_LENGTH and token.isprintable() else ""


def save_servers(plan: MountPlan, servers: set[str]) -> None:
    """Remember which servers use the mounts, for an agent that starts again. Raises OSError."""
    plan.state.mkdir(mode=0o700, exist_ok=True)
    durable.replace(plan.registrations, json.dumps(sorted(servers)))


def load_servers(plan: MountPlan) -> set[str]:
    """What `save_servers` remembered; of a file that cannot be read, nothing."""
    try:
        found = json.loads(plan.registrations.read_bytes())
    except FileNotFoundError:
        return set()
    except ValueError:
        found = None
    if not isinstance(found, list):
        LOG.error("%s is not readable: no server is known to use the mounts", plan.registrations)
        return set()
    return {server for server in found if isinstance(server, str)}
