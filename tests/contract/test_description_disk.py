"""The disk of the descriptions: made once, there again after a crash, and never with holes."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from quaderno import config as configuration
from quaderno import stack
from quaderno.config import Config
from quaderno.storage import cache, description_disk, directories, mount_table, mounts, rclone
from quaderno.storage.mounts import MountPlan
from tests.contract.node_fixtures import Node, as_user, running_node
from tests.contract.storage_fixtures import eventually

SIZE = 32 << 20  # bytes


def settings(directory: Path, size: int = SIZE) -> Config:
    config = configuration.generate(directory)
    return config.model_copy(
        update={"agent": config.agent.model_copy(update={"description_disk": size})}
    )


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """Of a node whose shared directories are there, and nobody's mounts."""
    config = settings(tmp_path)
    directories.prepare_node(config)
    yield config
    mount_table.unmount_all(tmp_path)
    description_disk.image(config).unlink()  # pytest keeps the directory for a while


def kept(config: Config) -> Path:
    """A file on the disk."""
    return mounts.descriptions_directory(config) / "kept"


def devices(config: Config) -> list[str]:
    command = ["/usr/sbin/losetup", "--noheadings", "--output", "NAME", "--associated"]
    image = str(description_disk.image(config))
    found = subprocess.run([*command, image], capture_output=True, text=True, check=True)
    return found.stdout.split()


def has_no_holes(config: Config) -> bool:
    status = description_disk.image(config).stat()
    return status.st_blocks * 512 >= status.st_size


def test_made_once(config: Config) -> None:
    kept(config).write_text("1")
    number = description_disk.image(config).stat().st_ino
    for _ in range(2):
        assert description_disk.ensure(config)
    directories.prepare_node(config)
    places = [mount.path for mount in mount_table.below(config.dir)]
    assert places.count(mounts.descriptions_directory(config)) == 1
    assert description_disk.image(config).stat().st_ino == number
    assert kept(config).read_text() == "1"
    assert len(devices(config)) == 1
    assert description_disk.warning(config) == ""
    assert mounts.descriptions_directory(config).stat().st_mode & 0o777 == 0o700


def test_all_of_it_is_taken_whoever_trims(config: Config) -> None:
    assert description_disk.image(config).stat().st_size == SIZE
    assert has_no_holes(config)
    place = mounts.descriptions_directory(config)
    subprocess.run(["/usr/sbin/fstrim", place], check=False, capture_output=True)
    assert has_no_holes(config)


def test_files_run_out_before_the_room_for_their_content(config: Config) -> None:
    place = mounts.descriptions_directory(config)
    made = 0
    with pytest.raises(OSError, match="No space left"):
        while True:
            (place / str(made)).write_text("x" * 400)
            made += 1
    assert made > SIZE // 2048 * 0.95
    for number in range(0, made, 100):
        (place / str(number)).write_text("y" * 900)
    assert description_disk.is_short(config, was_short=False)
    assert "agent.description_disk" in description_disk.warning(config)


def test_there_again_after_down_or_a_reboot(config: Config) -> None:
    kept(config).write_text("1")
    description_disk.unmount(config)
    description_disk.unmount(config)
    eventually(lambda: devices(config) == [], 60, "whoever looks at a device keeps it for a moment")
    assert not kept(config).exists()
    assert description_disk.ensure(config)
    assert kept(config).read_text() == "1"


def test_down_takes_it_away_unless_somebody_is_mounted(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = mounts.plan(config, "alice")
    for directory in (plan.home.mountpoint, plan.state):
        directory.mkdir(parents=True)
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "none", plan.home.mountpoint], check=True)
    with plan.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as their rclone does
        stack.down(config, print)
        assert description_disk.is_mounted(config)
        assert plan.home.mountpoint.is_mount()
        assert "runs on: alice" in capsys.readouterr().out
    stack.down(config, print)
    assert mount_table.below(config.dir) == []
    eventually(lambda: devices(config) == [], 60, "whoever looks at a device keeps it for a moment")


def test_a_mount_out_of_sight_is_the_same_disk(config: Config) -> None:
    """Somebody unmounts it lazily while it is in use: a second view of the image would break it."""
    with kept(config).open("w") as file:
        mount_table.unmount(mounts.descriptions_directory(config), lazy=True)
        assert description_disk.ensure(config)
        file.write("through the first")
        file.flush()
        assert kept(config).read_text() == "through the first"
        assert len(devices(config)) == 1


def test_a_crash_is_mended(config: Config, tmp_path: Path) -> None:
    """The image as it was in the middle of work, as after a power failure."""
    kept(config).write_text("1")
    subprocess.run(["/usr/bin/sync", "--file-system", kept(config)], check=True)
    image, crashed = description_disk.image(config), tmp_path / "crashed"
    subprocess.run(["/usr/bin/cp", image, crashed], check=True)
    description_disk.unmount(config)
    crashed.replace(image)
    assert description_disk.ensure(config)
    assert kept(config).read_text() == "1"
    assert has_no_holes(config)


def test_one_beyond_repair_is_made_anew(config: Config) -> None:
    description_disk.unmount(config)
    description_disk.image(config).write_bytes(os.urandom(SIZE))
    assert description_disk.ensure(config)
    assert not kept(config).exists()
    kept(config).write_text("1")


def test_it_grows_with_the_setting(config: Config) -> None:
    kept(config).write_text("1")
    before = os.statvfs(mounts.descriptions_directory(config))
    description_disk.unmount(config)
    assert description_disk.ensure(settings(config.dir, 2 * SIZE))
    after = os.statvfs(mounts.descriptions_directory(config))
    assert after.f_blocks > 1.8 * before.f_blocks
    assert after.f_files > 1.8 * before.f_files
    assert kept(config).read_text() == "1"
    assert has_no_holes(config)


def test_two_instances_have_their_own(config: Config, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = settings(tmp_path / "other")
    directories.prepare_node(other)
    kept(config).write_text("1")
    assert not kept(other).exists()
    assert devices(config) != devices(other)


@pytest.fixture
def plan(config: Config) -> MountPlan:
    plan = mounts.plan(config, "alice")
    plan.state.mkdir()
    return plan


def links(plan: MountPlan) -> dict[str, Path]:
    return {area.name: cache.area_descriptions(plan, area) for area in plan.areas}


def test_only_what_can_be_changed_is_placed_there(config: Config, plan: MountPlan) -> None:
    for _ in range(2):
        description_disk.place(config, plan)
    assert {name for name, link in links(plan).items() if link.is_symlink()} == {"home", "own"}
    assert links(plan)["home"].resolve() == mounts.descriptions_directory(config) / "alice/home"


def test_descriptions_of_the_cache_take_the_place_of_older_ones(
    config: Config, plan: MountPlan
) -> None:
    home = links(plan)["home"]
    description_disk.place(config, plan)
    (home / "old").write_text("old")
    home.unlink()
    (home / "alice").mkdir(parents=True)
    (home / "alice" / "new").write_text("new")
    description_disk.place(config, plan)
    assert home.is_symlink()
    assert (home / "alice" / "new").read_text() == "new"
    assert not (home / "old").exists()
    assert {path.name for path in home.parent.iterdir()} == {"home", "own"}


def test_without_the_disk_they_are_in_the_cache(
    config: Config, plan: MountPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    description_disk.place(config, plan)
    description_disk.unmount(config)
    monkeypatch.setattr(description_disk, "PATH", "/nowhere")
    assert not description_disk.ensure(config)
    assert "quaderno check" in description_disk.warning(config)
    assert not description_disk.is_short(config, was_short=False)
    description_disk.place(config, plan)
    assert not any(link.is_symlink() for link in links(plan).values())


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running_node(tmp_path_factory.mktemp("n")) as node:
        yield node


def unsent(node: Node, user: str) -> MountPlan:
    """Of three files that are in the cache only; neither agent nor rclone runs any more."""
    root = node.ready(user)
    assert os.listdir(root / user) == []  # noqa: PTH208 - rclone has keys from now on
    node.faults.switch("away")
    as_user("for name in 'xyz': open(name, 'w').write(name * 9)", root / user)
    eventually(lambda: node.state(user)["pending"]["files"] == 3, 60, "all are closed")
    node.release(user)
    node.in_state(user, "DRAINING")
    node.agent.stop(signal.SIGKILL)
    os.kill(node.rclone(user), signal.SIGKILL)
    plan = mounts.plan(node.config, user)
    eventually(lambda: not rclone.is_there(plan), 60, "it has ended, and uses the disk no more")
    return plan


def uploaded_by_the_next_agent(node: Node, user: str) -> None:
    node.faults.switch("pass")
    node.start_agent()
    eventually(lambda: node.keys_in_s3(user, user) == {*"xyz"}, 60, "all is uploaded")
    node.in_state(user, "UNMOUNTED", 60)
    body = node.s3(user).get_object(Bucket=user, Key="x")["Body"].read()
    assert body == b"xxxxxxxxx"


def test_unsent_files_of_an_earlier_version_move_there(node: Node) -> None:
    plan = unsent(node, "alice")
    for area in plan.writable:
        link = cache.area_descriptions(plan, area)
        target = link.readlink()
        link.unlink()
        subprocess.run(["/usr/bin/cp", "-a", target, link], check=True)
    description_disk.unmount(node.config)
    description_disk.image(node.config).unlink()
    uploaded_by_the_next_agent(node, "alice")
    assert "before a crash" not in (node.config.dir / "agent.log").read_text(), "it was whole"
    assert links(plan)["home"].is_symlink()


def test_unsent_files_whose_descriptions_are_lost_are_uploaded(node: Node) -> None:
    plan = unsent(node, "bob")
    description_disk.unmount(node.config)
    description_disk.image(node.config).unlink()
    assert not links(plan)["home"].exists()
    uploaded_by_the_next_agent(node, "bob")
