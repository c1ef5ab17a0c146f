"""What the agent keeps on disk, and how it reads rclone's cache."""

import errno
import os
from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.storage import directories, durable, keys, mounts
from quaderno.storage.mounts import MountPlan


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configuration.generate(tmp_path)


@pytest.fixture
def plan(config: Config) -> MountPlan:
    plan = mounts.plan(config, "alice")
    plan.state.mkdir(parents=True)
    return plan


def test_servers_are_remembered(plan: MountPlan) -> None:
    assert directories.load_servers(plan) == set()
    directories.save_servers(plan, {"", "second"})
    assert directories.load_servers(plan) == {"", "second"}
    directories.save_servers(plan, set())
    assert directories.load_servers(plan) == set()


def test_the_token_stays_the_same_for_a_running_rclone(config: Config, plan: MountPlan) -> None:
    directories.prepare_state(config, plan)
    token = plan.token.read_text()
    assert len(token) >= 32
    assert plan.token.stat().st_mode & 0o777 == 0o600
    directories.prepare_state(config, plan)
    assert plan.token.read_text() == token


def test_what_a_server_binds(config: Config, plan: MountPlan) -> None:
    config.mounts.mkdir(parents=True)
    config.local.mkdir(parents=True)
    for _ in range(2):
        directories.prepare_binds(plan)
        assert plan.root.stat().st_mode & 0o7777 == 0o555
        assert plan.local.stat().st_mode & 0o7777 == 0o700


def test_a_file_that_says_the_same_stays(tmp_path: Path) -> None:
    file = tmp_path / "state"
    durable.replace(file, "one")
    first = file.stat().st_ino
    durable.replace(file, "one")
    assert file.stat().st_ino == first
    durable.replace(file, "another")
    assert file.read_text() == "another"
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_without_a_free_block_a_file_is_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real = tmp_path / "state", os.open
    durable.replace(file, "something long")

    def full(path: Path, *arguments: int) -> int:
        if path.name.endswith(".new"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *arguments)

    monkeypatch.setattr(os, "open", full)
    durable.replace(file, "short")
    assert file.read_text() == "short         "
    with pytest.raises(OSError, match="No space left"):
        durable.replace(file, "x" * 10_000)
    assert file.read_text() == "short         "
    with pytest.raises(OSError, match="No space left"):
        durable.replace(tmp_path / "new", "short")


def test_a_notice_that_does_not_fit_on_the_disk_stops_nobody(
    plan: MountPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    plan.root.parent.mkdir(parents=True)
    with monkeypatch.context() as staged:
        staged.setattr(os, "write", full)
        directories.prepare_mountpoints(plan)
    assert plan.home.mountpoint.is_dir()
    assert [path for path in plan.root.iterdir() if path.is_file()] == []
    directories.prepare_mountpoints(plan)
    assert plan.notice.read_text() == mounts.NOTICE


def test_a_disk_that_takes_a_part_only_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real, full = tmp_path / "state", os.write, False
    durable.replace(file, "old")

    def write(descriptor: int, data: bytes) -> int:
        if full and os.fstat(descriptor).st_size >= 8192:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:4096])

    monkeypatch.setattr(os, "write", write)
    durable.replace(file, "x" * 10_000)
    assert file.read_text() == "x" * 10_000
    full = True
    with pytest.raises(OSError, match="No space left"):
        durable.replace(file, "y" * 20_000)
    assert file.read_text() == "x" * 10_000


@pytest.mark.parametrize("left", [b"", b"\0" * 40, b'["a", ', b"{}", b"\xff"])
def test_what_a_power_failure_left_of_a_state_file_stops_nobody(
    config: Config, plan: MountPlan, left: bytes
) -> None:
    plan.registrations.write_bytes(left)
    assert directories.load_servers(plan) == set()
    plan.token.write_bytes(left)
    for presented in ("", left.decode("latin-1"), left.decode("latin-1").strip("\0")):
        assert not keys._is_authorised(config, "alice", presented)
    directories.prepare_state(config, plan)
    assert keys._is_authorised(config, "alice", directories.load_token(plan))


def test_a_name_is_on_the_disk_when_its_content_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    durable.replace(tmp_path / "state", "one")
    assert synced == [f"{tmp_path}/state.new", f"{tmp_path}"]
    synced.clear()
    with durable.appearing(tmp_path / "deep" / "copy", tmp_path / "unfinished") as file:
        file.write(b"work")
    assert synced[-1] == f"{tmp_path}/deep"
    assert f"{tmp_path}" in synced, "of the new directory"
    assert (tmp_path / "deep" / "copy").read_bytes() == b"work"
