"""The environment that people add packages to: which one, and when there is none."""

import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from quaderno_server import additions, kept, packages_command


def test_each_python_of_an_image_has_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(module: Any, name: str, value: object) -> str:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            return additions.directory().name

    ours = additions.directory().name
    assert ours == additions.directory().name
    assert ours.startswith(f"python{sys.version_info.major}.{sys.version_info.minor}-")
    others = {
        changed(sysconfig, "get_config_var", lambda _: "cpython-399-x86_64-linux-gnu"),
        changed(sys, "prefix", "/opt/conda"),
        changed(sys, "executable", "/usr/local/bin/python3"),
    }
    assert len(others - {ours}) == 3


def test_without_room_all_is_as_the_image_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local").write_text("no directory")
    monkeypatch.setattr(additions, "ROOT", tmp_path / "local" / "environments")
    environ = {"PATH": "/usr/bin", "VIRTUAL_ENV": "/opt/quaderno"}
    additions.use(environ)
    assert environ == {"PATH": "/usr/bin", "VIRTUAL_ENV": "/opt/quaderno"}


def test_a_kernel_that_pip_keeps_in_debians_other_prefix_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's Python is in /usr, and what its pip installs in /usr/local."""
    kernel = tmp_path / "local" / "share" / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["python3", "-m", "ipykernel_launcher"]}')
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    of = sysconfig.get_path

    def debians(name: str, *scheme: Any, **more: Any) -> str:
        return str(tmp_path / "local") if name == "data" else of(name, *scheme, **more)

    monkeypatch.setattr(sysconfig, "get_path", debians)
    made = additions.ensure(tmp_path / "environment")
    description = (made / "share" / "jupyter" / "kernels" / "python3" / "kernel.json").read_text()
    assert f"{made}/bin/python" in description


def test_where_nothing_was_added_there_is_nothing_to_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(additions, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["quaderno-packages", "export", str(tmp_path / "file")])
    assert packages_command.main() == 1
    assert capsys.readouterr().err == (
        "quaderno-packages: you have added none: install some with pip\n"
    )
    assert not (tmp_path / "file").exists()


def test_without_storage_a_file_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kept, "WORKAREA", tmp_path)
    monkeypatch.setenv("JUPYTERHUB_USER", "anna")
    monkeypatch.setattr(sys, "argv", ["quaderno-packages", "export"])
    assert packages_command.main() == 1
    assert "cloud_storage is not there now" in capsys.readouterr().err
