"""What the agent keeps on disk, and how it reads rclone's cache."""

from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.storage import directories, mounts
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


@pytest.mark.parametrize(
    ("meta", "unsent"),
    [
        ('{"Dirty": true}', 1),
        ('{"Dirty": false}', 0),
        ('{"Dirty": tr', 1),
        ("", 1),
        ("[]", 1),
        ("{}", 1),
    ],
)
def test_unsent_files_are_counted_when_in_doubt(plan: MountPlan, meta: str, unsent: int) -> None:
    assert directories.unsent(plan) == 0
    path = plan.cache / "vfsMeta" / "home" / "alice" / "deep" / "file"
    path.parent.mkdir(parents=True)
    path.write_text(meta)
    assert directories.unsent(plan) == unsent
