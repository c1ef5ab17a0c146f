from pathlib import Path
from typing import Any

import pytest

from quaderno.hub.memory_peak import peak

ID = "0123abcd" * 8
CONTAINER: dict[str, Any] = {"Id": ID, "State": {"Pid": 42}}


@pytest.mark.parametrize(
    ("lines", "file"),
    [
        (f"0::/system.slice/docker-{ID}.scope", f"system.slice/docker-{ID}.scope/memory.peak"),
        (
            f"5:cpu,cpuacct:/docker/{ID}\n4:memory:/docker/{ID}\n0::/docker/{ID}",
            f"memory/docker/{ID}/memory.max_usage_in_bytes",
        ),
    ],
    ids=["version 2", "version 1"],
)
def test_the_control_group_says_it(tmp_path: Path, lines: str, file: str) -> None:
    assert peak(CONTAINER, tmp_path, tmp_path) == 0, "there is no such process"
    (tmp_path / "42").mkdir()
    (tmp_path / "42" / "cgroup").write_text(f"{lines}\n")
    assert peak(CONTAINER, tmp_path, tmp_path) == 0, "the kernel does not say it"
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("1048576\n")
    assert peak(CONTAINER, tmp_path, tmp_path) == 2**20
    other = CONTAINER | {"Id": ID[::-1]}
    assert peak(other, tmp_path, tmp_path) == 0, "the process is not the container's"
