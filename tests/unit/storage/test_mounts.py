"""The mount plan: what is mounted where, with which words to rclone."""

from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.storage import mounts
from tests.secret_settings import secret_values


@pytest.fixture(scope="module")
def config() -> Config:
    return configuration.generate(Path("/var/lib/quaderno"))


def test_areas(config: Config) -> None:
    plan = mounts.plan(config, "alice")
    assert plan.root == Path("/var/lib/quaderno/agent/mounts/alice")
    assert [(area.remote, area.read_only) for area in plan.areas] == [
        ("home:alice", False),
        ("scratch:scratch", True),
        ("own:scratch/alice", False),
    ]
    assert [area.mountpoint.relative_to(plan.root) for area in plan.areas] == [
        Path("alice"),
        Path("scratch"),
        Path("scratch/alice"),
    ]
    assert [area.name for area in plan.writable] == ["home", "own"]


def test_caches_do_not_overlap_and_fit_together(config: Config) -> None:
    areas = mounts.plan(config, "alice").areas
    assert len({area.name for area in areas}) == len(areas)
    assert sum(area.cache_share for area in areas) <= 1


def test_nothing_of_two_people_is_shared(config: Config) -> None:
    alice, bob = mounts.plan(config, "alice"), mounts.plan(config, "bob")
    for attribute in ("root", "local", "state", "socket", "cache", "lock", "token"):
        assert getattr(alice, attribute) != getattr(bob, attribute)


def test_a_socket_path_fits_the_kernel_limit_of_107_bytes(config: Config) -> None:
    assert len(str(mounts.plan(config, "x" * 40).socket)) <= 107


def test_no_secret_is_told_to_rclone(config: Config) -> None:
    plan = mounts.plan(config, "alice")
    told = "\n".join(
        [
            *mounts.rclone_command(Path("/bin/rclone"), plan),
            *mounts.rclone_environment(config, plan).values(),
            mounts.rclone_config(config, plan.areas),
        ]
    )
    assert [secret for secret in secret_values(config) if secret in told] == []


def test_rclone_is_kept_from_other_credentials(config: Config) -> None:
    environment = mounts.rclone_environment(config, mounts.plan(config, "alice"))
    assert environment["AWS_CONFIG_FILE"] == "/dev/null"
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == "/dev/null"
    assert environment["AWS_EC2_METADATA_DISABLED"] == "true"
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:")


def test_mount_calls(config: Config) -> None:
    home, scratch, _ = mounts.plan(config, "alice").areas
    call = mounts.mount_call(config, home, "mount2")
    assert call["mountType"] == "mount2"
    assert call["vfsOpt"]["CacheMode"] == "full"
    assert call["vfsOpt"]["WriteBack"] == "1.0s"
    assert not call["vfsOpt"]["ReadOnly"]
    assert "_config" not in call, "the server's times would shift those that people set"
    assert mounts.mount_call(config, scratch, "mount2")["vfsOpt"]["ReadOnly"]
    assert mounts.mount_call(config, scratch, "mount2")["_config"] == {"UseServerModTime": True}


def test_rclone_config_has_a_section_for_each_area(config: Config) -> None:
    text = mounts.rclone_config(config, mounts.plan(config, "alice").areas)
    assert [line for line in text.splitlines() if line.startswith("[")] == [
        "[home]",
        "[scratch]",
        "[own]",
    ]
    assert text.count(f"endpoint = {config.store_endpoint}") == 3
