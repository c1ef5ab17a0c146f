"""Quotas of `local` on a file system that has them, under a kernel that has them."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from quaderno import config as configuration
from quaderno.checks.disk import check_local_quota
from quaderno.config import Config
from quaderno.storage import mounts
from quaderno.storage.local import Local
from tests.contract import user_mode_linux

MB = 2**20
DISK = Path("/mnt")
FILL = "dd if=/dev/zero of=big bs=1M count=20"


def settings(directory: Path, quota: int) -> Config:
    config = configuration.generate(directory)
    servers = config.servers.model_copy(update={"local_quota": quota})
    return config.model_copy(update={"servers": servers})


def directory_of(config: Config, user: str) -> Path:
    path = config.local / user
    path.mkdir(parents=True)
    return path


def fill(directory: Path) -> str:
    """What a program of the person's is told that writes 20 MB."""
    directory.chmod(0o777)
    done = subprocess.run(
        FILL.split(), cwd=directory, user=1000, capture_output=True, text=True, check=False
    )
    return done.stderr


def limited(config: Config, user: str) -> dict[str, Any] | None:
    local = Local(config, mounts.plan(config, user))
    local.limit()
    return local.describe()


def warnings(config: Config) -> list[str]:
    return [finding.id for finding in check_local_quota(config)]


def mounted(*options: str) -> None:
    subprocess.run(["mount", "-t", "ext4", *options, user_mode_linux.DISK, DISK], check=True)


def two_people() -> dict[str, Any]:
    """Alice has a file already when quotas are switched on; she fills hers, then it is raised."""
    mounted("-o", "prjquota")
    config = settings(DISK / "q", 5 * MB)
    alice, bob = directory_of(config, "alice"), directory_of(config, "bob")
    (alice / "deep").mkdir()
    (alice / "deep" / "old").write_bytes(b"x" * MB)
    (alice / "link").symlink_to(user_mode_linux.DISK)
    local = Local(config, mounts.plan(config, "alice"))
    local.limit()
    deadline = time.monotonic() + 60
    while (local.describe() or {})["used"] < MB and time.monotonic() < deadline:
        time.sleep(0.02)
    found: dict[str, Any] = {"warnings": warnings(config), "counted": local.describe()}
    limited(config, "bob")
    found["refused"] = fill(alice)
    found["alice"] = local.describe()
    (bob / "small").write_bytes(b"x" * MB)
    found["bob"] = limited(config, "bob")
    found["raised"] = limited(settings(DISK / "q", 9 * MB), "alice")
    (alice / "more").write_bytes(b"x" * MB)
    found["lifted"] = limited(settings(DISK / "q", 0), "alice")
    found["free"] = fill(alice)
    return found


def not_enforced() -> dict[str, Any]:
    mounted()
    config = settings(DISK / "q", 5 * MB)
    alice = directory_of(config, "alice")
    return {
        "warnings": warnings(config),
        "alice": limited(config, "alice"),
        "refused": fill(alice),
        "unwanted": warnings(settings(DISK / "q", 0)),
    }


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(200 * MB)
    subprocess.run(["mkfs.ext4", "-q", "-O", "quota,project", image], check=True)
    return image


def test_a_full_local_is_told_to_the_program(disk: Path) -> None:
    found = user_mode_linux.run(two_people, disk)
    assert found["warnings"] == []
    assert found["counted"]["limit"] == 5 * MB
    assert found["counted"]["used"] >= MB
    assert "Disk quota exceeded" in found["refused"]
    assert found["alice"]["text"] == "5 MB of 5 MB used"
    assert MB <= found["bob"]["used"] < 2 * MB, "everybody has their own"
    assert found["raised"]["limit"] == 9 * MB
    assert found["lifted"]["limit"] == 0
    assert "copied" in found["free"]
    assert "exceeded" not in found["free"]


def test_a_file_system_that_cannot_is_warned_of(disk: Path) -> None:
    found = user_mode_linux.run(not_enforced, disk)
    assert found["warnings"] == ["local-quota"]
    assert found["alice"] is None
    assert "exceeded" not in found["refused"]
    assert found["unwanted"] == []
