"""The director's configuration; what it does is in its contract test."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from quaderno import components, director
from quaderno import config as quaderno_config
from quaderno.config import Config, generate

MEMBERS = [
    {"name": "bari", "address": "https://bari.example.org:8443"},
    {"name": "cnaf", "address": "https://cnaf.example.org", "weight": 2},
]


def instance(directory: Path, **changes: Any) -> Config:
    data = yaml.safe_load(quaderno_config.dump(generate(directory)))
    sites = data["sites"] | {"name": "bari", "members": MEMBERS}
    data |= {"public_url": "https://hub.example.org", "sites": sites}
    return quaderno_config.parse(data | changes, directory)


def test_it_belongs_to_several_sites(tmp_path: Path) -> None:
    assert "director" in [each.name for each in components.embedded(instance(tmp_path))]
    assert "director" not in [each.name for each in components.embedded(generate(tmp_path))]


def test_the_secret_is_not_in_its_files(tmp_path: Path) -> None:
    config = instance(tmp_path)
    director.prepare(config, 4711, 4711)
    files = [file for file in (tmp_path / "director").rglob("*") if file.is_file()]
    assert len(files) == 2
    for file in files:
        assert config.sites.secret.get_secret_value() not in file.read_text()
        assert file.stat().st_uid == 0


def test_a_certificate_is_the_directors_own_copy(tmp_path: Path) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).write_text(name)
    files = {"certificate": str(tmp_path / "certificate"), "key": str(tmp_path / "key")}
    config = instance(tmp_path / "state", tls={"mode": "files", **files})
    director.prepare(config, 4711, 4711)
    copy = tmp_path / "state" / "director" / "tls" / "key.pem"
    assert (copy.read_text(), copy.stat().st_uid, copy.stat().st_mode & 0o777) == (
        "key",
        4711,
        0o400,
    )
    assert not director.certificates_renewed(config)
    (tmp_path / "key").write_text("another")
    assert director.certificates_renewed(config)
    assert director.static(config)["entryPoints"]["endpoint"]["http"]["tls"] == {}


@pytest.mark.parametrize(("port", "needed"), [(443, True), (8018, False)])
def test_low_ports_need_a_capability(tmp_path: Path, port: int, needed: bool) -> None:
    assert director.needs_low_ports(instance(tmp_path, ports={"director": port})) == needed
