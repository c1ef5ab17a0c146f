"""From a username to what is mounted where, and what rclone is told. Pure.

Three mounts make up `cloud_storage`, each with a section of rclone's configuration of its own, so
that their caches never share a path: the personal bucket, the scratch bucket (read-only, so that a
refused write is EROFS at once), and inside it the person's own scratch area. Names and meaning of
the options are rclone's (`rclone rcd`, `mount/mount`, "VFS" and "S3" in its manual).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quaderno import names
from quaderno.config import Config

# The person inside every server (jovyan:users).
UID, GID = 1000, 100
MOUNT_TYPES = ("mount2", "mount")  # mount2 honours fsync; mount where the kernel refuses it
NOTICE_FILE = "STORAGE_UNAVAILABLE.txt"
NOTICE = (
    "Your cloud storage is not available at the moment. It will appear here by itself, and "
    "everything in it is safe; until then nothing can be saved here.\n"
)
_SECTION = {
    "type": "s3",
    "provider": "Other",
    "env_auth": "true",
    "force_path_style": "true",
    "directory_markers": "true",
    "no_check_bucket": "true",
    "list_version": "2",
    # Here and not on the command line: what overrides a remote's options becomes part of the name
    # of its cache directory.
    "chunk_size": "8Mi",
    "upload_concurrency": "2",
    # An upload is not looked at once more: the answer to it has the checksum that rclone compares.
    "no_head": "true",
}


@dataclass(frozen=True)
class Area:
    """One mount: a bucket, or the part of it below `prefix`, at `mountpoint`."""

    name: str
    bucket: str
    prefix: str
    mountpoint: Path
    read_only: bool
    cache_share: float

    @property
    def remote(self) -> str:
        """rclone's name of it, also of its VFS and its cache directory."""
        return f"{self.name}:{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    @property
    def shown(self) -> Path:
        """Its place in `cloud_storage`."""
        return Path(self.bucket, self.prefix)


@dataclass(frozen=True)
class MountPlan:
    """Everything about one person's mounts on this node.

    `root` is what their servers bind; `areas` are in the order of mounting, nested ones last;
    `state` holds what belongs to this one person: cache, socket, log, registrations. What rclone
    knows of the cached files of writable areas is in `descriptions`, on a disk of its own.
    """

    username: str
    root: Path
    local: Path
    areas: tuple[Area, ...]
    state: Path
    descriptions: Path

    @property
    def writable(self) -> tuple[Area, ...]:
        """The areas that can hold data which is not in the object store yet."""
        return tuple(area for area in self.areas if not area.read_only)

    @property
    def home(self) -> Area:
        """The personal bucket."""
        return self.areas[0]

    @property
    def notice(self) -> Path:
        """Says that storage is unavailable, to who looks into `cloud_storage`."""
        return self.root / NOTICE_FILE

    @property
    def socket(self) -> Path:
        """rclone's remote control."""
        return self.state / "rc.sock"

    @property
    def cache(self) -> Path:
        """rclone's disk cache: the only copy of what is not uploaded yet."""
        return self.state / "cache"

    @property
    def strays(self) -> Path:
        """Copies of changed files that rclone has stopped looking after."""
        return self.state / "strays"

    @property
    def rescued(self) -> Path:
        """Files on their way into the personal bucket's directory of rescued ones."""
        return self.state / "rescued"

    @property
    def unfinished(self) -> Path:
        """Copies that are being made; what an end of the agent left there is worth nothing."""
        return self.state / "unfinished"

    @property
    def lock(self) -> Path:
        """Locked by the rclone that uses the cache, until it ends; holds its process number."""
        return self.state / "lock"

    @property
    def token(self) -> Path:
        """What rclone authenticates with to the agent when it asks for keys."""
        return self.state / "token"

    @property
    def boot(self) -> Path:
        """In which boot of this machine the cache was used last."""
        return self.state / "boot"

    @property
    def lease(self) -> Path:
        """What this node remembers of its lease, as long as it has one."""
        return self.state / "lease.json"

    @property
    def rclone_config(self) -> Path:
        """rclone's configuration; holds no secret."""
        return self.state / "rclone.conf"

    @property
    def registrations(self) -> Path:
        """Which servers use the mounts, for an agent that starts again."""
        return self.state / "servers.json"


def users_directory(config: Config) -> Path:
    """The parent of each person's `state`."""
    return config.dir / "agent" / "users"


def descriptions_directory(config: Config) -> Path:
    """The parent of each person's `descriptions`; the disk that holds them is mounted there."""
    return config.dir / "agent" / "descriptions"


def plan(config: Config, username: str) -> MountPlan:
    """The mounts of `username`, which must be a valid one (`names.storage_problem`)."""
    root, scratch = config.mounts / username, config.store.scratch_bucket
    return MountPlan(
        username=username,
        root=root,
        local=config.local / username,
        areas=(
            Area("home", names.bucket(username), "", root / username, False, 0.5),
            Area("scratch", scratch, "", root / "scratch", True, 0.25),
            Area("own", scratch, username, root / "scratch" / username, False, 0.25),
        ),
        state=users_directory(config) / username,
        descriptions=descriptions_directory(config) / username,
    )


def rclone_config(config: Config, areas: tuple[Area, ...]) -> str:
    """rclone's configuration file: one section for each area, and no credentials."""
    section = _SECTION | {"endpoint": config.store_endpoint, "region": config.store.region}
    lines = [f"{key} = {value}" for key, value in section.items()]
    return "\n".join("\n".join([f"[{area.name}]", *lines, ""]) for area in areas)


def rclone_command(program: Path, plan: MountPlan) -> list[str]:
    """One rclone for all mounts of a person, controlled through its socket."""
    return [
        str(program),
        "rcd",
        f"--rc-addr=unix://{plan.socket}",
        "--rc-no-auth",  # the socket's directory is root's alone
        f"--config={plan.rclone_config}",
        f"--cache-dir={plan.cache}",
        f"--log-file={plan.state / 'rclone.log'}",
        "--log-file-max-size=10M",
        "--log-file-max-backups=2",
        "--log-level=NOTICE",
        "--use-json-log",
        "--transfers=4",
        "--low-level-retries=2",
        "--contimeout=3s",
        "--timeout=20s",
        "--buffer-size=4M",
    ]


def rclone_environment(config: Config, plan: MountPlan) -> dict[str, str]:
    """rclone's whole environment: where to ask for keys, never the keys."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(plan.state),
        "GOMEMLIMIT": "96MiB",  # the program itself, which all people's share, is 60 more
        "GOGC": "50",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": keys_url(config, plan.username),
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(plan.token),
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def keys_url(config: Config, username: str) -> str:
    """Where the agent serves the keys of `username` to their rclone."""
    return f"http://127.0.0.1:{config.ports.agent_keys}/users/{username}/keys"


def mount_call(config: Config, area: Area, mount_type: str) -> dict[str, Any]:
    """The parameters of `mount/mount`."""
    call: dict[str, Any] = {
        "fs": area.remote,
        "mountPoint": str(area.mountpoint),
        "mountType": mount_type,
        "mountOpt": {
            "AllowOther": True,
            "AllowNonEmpty": True,
            "DefaultPermissions": True,
            "DeviceName": f"quaderno-{area.name}",
        },
        "vfsOpt": _vfs_options(config, area),
    }
    if area.read_only:
        # Saves a request for each file. Not where people write: times would shift by seconds,
        # and editors would report that a file changed on disk.
        call["_config"] = {"UseServerModTime": True}
    return call


def _vfs_options(config: Config, area: Area) -> Mapping[str, Any]:
    return {
        "CacheMode": "full",
        "CacheMaxSize": f"{int(config.agent.cache_size * area.cache_share)}B",
        "CacheMaxAge": "24h",
        "WriteBack": f"{config.agent.write_back}s",
        "DirCacheTime": "87600h",  # for ever: `freshness.py` has directories read anew
        "PollInterval": "0s",
        "ReadOnly": area.read_only,
        "Links": True,
        "FastFingerprint": True,
        "ChunkSize": "32M",
        "ChunkSizeLimit": "256M",
        "ReadAhead": "16M",
        "UID": UID,
        "GID": GID,
        "Umask": "077",
    }
