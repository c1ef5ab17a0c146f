"""What Anna installs with pip outlives her server, and keeps no server from starting."""

import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.contract.lab_fixtures import Engine, Lab
from tests.service import kernel

INSTALL = "%pip install --quiet --upgrade --no-index --no-deps --find-links local/wheels "


@pytest.fixture(scope="module")
def binds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Anna's files, with two packages in `local`, of which one would break JupyterLab."""
    places = {"local": "local", "bucket": "cloud_storage/anna"}
    found = {}
    for name, place in places.items():
        directory = tmp_path_factory.mktemp(name)
        directory.chmod(0o777)
        found[str(directory)] = {"bind": f"/workarea/{place}", "mode": "rw"}
        if name == "local":
            write_wheel(directory / "wheels", "spectra", "def main(): print('lines')")
            write_wheel(directory / "wheels", "jupyterlab", "raise SystemExit('broken')")
    return found


def write_wheel(directory: Path, module: str, code: str) -> None:
    """Version 99 of a package that consists of `code`, as pip takes it (PEP 427)."""
    directory.mkdir(exist_ok=True)
    about = f"{module}-99.dist-info"
    with zipfile.ZipFile(directory / f"{module}-99-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{module}/__init__.py", code)
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {module}\nVersion: 99\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(
            f"{about}/entry_points.txt", f"[console_scripts]\n{module}-says = {module}:main\n"
        )
        wheel.writestr(f"{about}/RECORD", "")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.open() as engine:
        yield engine


@contextmanager
def new_kernel(lab: Lab) -> Iterator[Any]:
    """Runs code in a new kernel of Anna's; what it printed."""
    identifier = lab.client.post("api/kernels", json={"name": "python3"}).json()["id"]
    session = uuid.uuid4().hex
    url = f"{lab.client.base_url}api/kernels/{identifier}/channels?session_id={session}"
    headers = {"Authorization": lab.client.headers["Authorization"]}
    with kernel.channels(url, headers) as socket:
        yield lambda code: kernel.run(socket, session, code)


def test_packages_outlive_the_server_and_are_exported(
    engine: Engine, binds: dict[str, dict[str, str]]
) -> None:
    with engine.lab(volumes=binds) as lab, new_kernel(lab) as run:
        run(f"{INSTALL} spectra jupyterlab")
        assert run("import spectra; spectra.main()") == "lines\n"
        assert run("import numpy; print(numpy.__file__)").startswith("/opt/quaderno/")
    with engine.lab(volumes=binds) as lab, new_kernel(lab) as run:
        terminal = "import subprocess; print(subprocess.run(['bash', '-lc', {!r}], text=True,"
        terminal += "stdout=-1, stderr=-2).stdout)"
        assert run(terminal.format("spectra-says; pip --version")).startswith("lines\npip ")
        assert lab.run("quaderno-packages list") == "jupyterlab==99\nspectra==99"
        assert lab.run("quaderno-packages export").startswith("Elsewhere, they come again with")
        (file,) = lab.client.get("api/contents/cloud_storage/anna").json()["content"]
        text = lab.client.get(f"api/contents/{file['path']}").json()["content"]
        assert text.splitlines()[1:] == ["jupyterlab==99", "spectra==99"]
        run("%pip uninstall --quiet --yes jupyterlab")
        assert lab.run("quaderno-packages list") == "spectra==99"
        version = "from importlib.metadata import version; print(version('jupyterlab'))"
        assert lab.run(f'/opt/quaderno/bin/python -c "{version}"').startswith("4.")


def test_without_the_environment_kernels_are_the_images(
    engine: Engine, binds: dict[str, dict[str, str]]
) -> None:
    """Who has broken theirs removes it."""
    with engine.lab(volumes=binds) as lab:
        lab.run("rm -r local/environments")
        with new_kernel(lab) as run:
            assert run("import sys; print(sys.prefix)") == "/opt/quaderno\n"
