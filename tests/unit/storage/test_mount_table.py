"""Reading the kernel's mount table."""

from pathlib import Path

import pytest

from quaderno.storage.mount_table import Mount, parse_line, unmount

LINES = {
    "50 27 254:0 /d /d rw,relatime shared:5 - ext4 /dev/vda rw": Mount(Path("/d"), "ext4", True),
    "51 50 0:41 / /d/a\\040b ro master:1 - fuse.rclone home rw": Mount(
        Path("/d/a b"), "fuse.rclone", False
    ),
    "53 50 0:43 / /d/r rw,nosuid - fuse.rclone home ro,user_id=0": Mount(
        Path("/d/r"), "fuse.rclone", False, True
    ),
    "52 50 0:42 / /d/c rw - tmpfs shared:1 rw": Mount(Path("/d/c"), "tmpfs", False),
}


@pytest.mark.parametrize(("line", "mount"), LINES.items())
def test_lines(line: str, mount: Mount) -> None:
    assert parse_line(line) == mount


def test_unmounting_what_is_not_mounted_is_done(tmp_path: Path) -> None:
    try:
        assert unmount(tmp_path)
        assert unmount(tmp_path / "missing")
    except PermissionError:
        pytest.skip("only root may ask")
