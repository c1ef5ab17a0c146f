"""The wheel of quaderno-server, as pip installs it."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

_SERVER = Path(__file__).parents[3] / "server"
_INSTALLED = "/data/share/jupyter/labextensions/quaderno/"
_MOST = 4096  # bytes of the one script that JupyterLab's start waits for


def test_the_part_of_jupyterlab_is_in_it_and_needs_no_build(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=_SERVER, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        files = {
            name.partition(_INSTALLED)[2]: archive.read(name)
            for name in archive.namelist()
            if _INSTALLED in name
        }
    source = _SERVER / "labextension"
    assert files == {
        str(path.relative_to(source)): path.read_bytes()
        for path in source.rglob("*")
        if path.is_file()
    }
    assert len(files["static/remoteEntry.js"]) < _MOST
