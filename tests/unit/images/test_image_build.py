"""What the base image is built from."""

import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from quaderno import config as configuration
from quaderno.config import Config
from quaderno.errors import HostError
from quaderno.images import build

ROOT = Path(__file__).parents[3]


@pytest.fixture
def context(tmp_path: Path) -> Path:
    build.write_context(tmp_path / "context")
    return tmp_path / "context"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_context_holds_all_that_the_dockerfile_copies(context: Path) -> None:
    assert {path.name for path in context.iterdir()} == {
        "Dockerfile",
        "etc",
        "image.lock",
        "server",
    }
    assert (context / "server" / "quaderno_server" / "credentials.py").is_file()
    assert not list(context.rglob("__pycache__"))


def test_an_installed_package_holds_the_same(context: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = "import sys; from pathlib import Path; from quaderno.images import build; "
    script += "build.write_context(Path(sys.argv[1]))"
    installed = tmp_path / "installed"
    subprocess.run(
        [sys.executable, "-c", script, str(installed)],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        check=True,
    )
    assert build.digest(installed) == build.digest(context)


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    with umask(0o077):
        build.write_context(tmp_path / "context")
    for path in (tmp_path / "context").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644)


def test_digest_follows_names_and_contents_only(context: Path) -> None:
    first = build.digest(context)
    os.utime(context / "Dockerfile", (0, 0))
    assert build.digest(context) == first
    (context / "Dockerfile").rename(context / "Dockerfile2")
    assert build.digest(context) != first
    (context / "Dockerfile2").rename(context / "Dockerfile")
    assert build.digest(context) == first
    (context / "etc" / "more").write_text("")
    assert build.digest(context) != first


@pytest.mark.parametrize("name", [variant.lock for variant in build.VARIANTS.values()])
def test_the_lock_pins_with_hashes_and_names_no_host(name: str) -> None:
    lock = (ROOT / "requirements" / name).read_text()
    pinned = [line for line in lock.splitlines() if line[:1].isalpha()]
    assert pinned
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert "//" not in lock
    assert "rfc3987" not in "".join(pinned)


def test_the_variants_have_the_same_versions() -> None:
    def pins(name: str) -> set[str]:
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        return {line.split()[0] for line in lines if line[:1].isalpha()}

    base, minimal = build.VARIANTS.values()
    assert pins(minimal.lock) < pins(base.lock)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configuration.generate(tmp_path)


def test_reference_is_the_catalogues(config: Config) -> None:
    assert build.base_reference(config) == "quaderno/base:0.1.0"
    data = config.model_dump(mode="json")
    image = {"name": "base", "display_name": "Base", "reference": "site/base:1"}
    data["servers"]["images"] = [{**image, "name": "other", "reference": "site/other:1"}, image]
    assert build.base_reference(Config.model_validate(data)) == "site/base:1"


def test_whoever_cannot_wait_for_their_turn_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = SimpleNamespace()
    monkeypatch.setattr(build, "new_engine", lambda: engine)
    monkeypatch.setattr(build, "_TURN", tmp_path / "no-directory" / "lock")
    with pytest.raises(HostError, match="lock cannot be opened"):
        build.build_base(configuration.generate(tmp_path), lambda _: None)
