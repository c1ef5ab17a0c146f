"""What `quaderno init` chooses for a machine."""

import ipaddress
import os
from pathlib import Path

import pytest
import yaml

from quaderno import config as quaderno_config
from quaderno import init
from quaderno.errors import ConfigError

GIB = 2**30


@pytest.mark.parametrize(
    ("cores", "choices"),
    [(1, [0.5, 1]), (2, [0.5, 1, 2]), (3, [0.5, 1, 2]), (8, [0.5, 1, 2, 4, 8])],
)
def test_cpus_on_offer_fit_the_machine(cores: int, choices: list[float]) -> None:
    choice = init.cpu_choice(cores)
    assert (choice.choices, choice.default) == (choices, 1)


@pytest.mark.parametrize(
    ("total", "choices", "default"),
    [
        (GIB, [GIB // 2], GIB // 2),
        (2 * GIB, [GIB], GIB),
        (4 * GIB, [GIB, 2 * GIB], 2 * GIB),
        (24 * GIB, [GIB, 2 * GIB, 4 * GIB, 8 * GIB], 2 * GIB),
    ],
)
def test_memory_on_offer_is_half_at_most(total: int, choices: list[int], default: int) -> None:
    choice = init.memory_choice(total)
    assert (choice.choices, choice.default) == (choices, default)


def test_usual_network_where_it_is_free() -> None:
    assert init.free_network([]) == "10.213.0.0/20"


@pytest.mark.parametrize("taken", ["10.213.0.0/29", "10.213.0.0/16", "10.0.0.0/8", "10.0.0.0/7"])
def test_network_overlaps_nothing(taken: str) -> None:
    other = ipaddress.IPv4Network(taken)
    chosen = ipaddress.IPv4Network(init.free_network([other]))
    assert chosen.is_private
    assert not chosen.overlaps(other)


def test_no_network_left() -> None:
    with pytest.raises(ConfigError, match="no private /20 network is free"):
        init.free_network([ipaddress.IPv4Network("0.0.0.0/0")])


def test_file_is_private_short_and_loads(tmp_path: Path) -> None:
    config = init.write(tmp_path / "new", public_url="https://hub.example.org", first_port=9000)
    path = tmp_path / "new" / "quaderno.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert quaderno_config.load(path.parent) == config
    data = yaml.safe_load(path.read_text())
    assert "dir" not in data
    assert "name" not in data
    assert data["ports"]["web"] == 9000
    assert "    -----BEGIN PRIVATE KEY-----\n" in path.read_text()


def test_a_new_directory_lets_components_pass_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        init.write(tmp_path / "new")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o711


def test_a_directory_that_was_there_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    init.write(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_file_is_never_overwritten(tmp_path: Path) -> None:
    init.write(tmp_path)
    before = (tmp_path / "quaderno.yaml").read_text()
    with pytest.raises(ConfigError, match="exists already"):
        init.write(tmp_path)
    assert (tmp_path / "quaderno.yaml").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["quaderno.yaml"]


def test_two_instances_differ(tmp_path: Path) -> None:
    one, other = (init.write(tmp_path / name) for name in ("one", "other"))
    assert one.instance != other.instance
    assert one.hub.crypt_key != other.hub.crypt_key
