"""What builds take over from the host."""

import configparser
import os
from pathlib import Path

import pytest

from quaderno.errors import HostError
from quaderno.images import host

BUILTIN = 'echo "Docker version 20.10.24+dfsg1, build 297e128"'
PLUGIN = 'if [ "$1" = buildx ]; then echo "github.com/docker/buildx v0.24.0"; '
PLUGIN += 'else echo "Docker version 28.2.2, build e6534b4"; fi'
NO_PLUGIN = 'if [ "$1" = buildx ]; then exit 1; else echo "Docker version 28.2.2, build 1"; fi'


def client(directory: Path, script: str) -> str:
    directory.mkdir()
    program = directory / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(directory)


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        (BUILTIN, NO_PLUGIN, "first"),
        (NO_PLUGIN, BUILTIN, "second"),
        (NO_PLUGIN, PLUGIN, "second"),
        (PLUGIN, BUILTIN, "first"),
        ("echo podman version 5.0", PLUGIN, "second"),
        ("exit 1", PLUGIN, "second"),
    ],
)
def test_the_first_client_that_builds_with_buildkit(
    tmp_path: Path, first: str, second: str, chosen: str
) -> None:
    path = os.pathsep.join([client(tmp_path / "1", first), client(tmp_path / "2", second)])
    expected = tmp_path / {"first": "1", "second": "2"}[chosen] / "docker"
    assert host.docker_client({"PATH": path}) == expected


def test_no_client_that_builds_is_an_error_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "USUAL_DIRECTORIES", ())
    path = client(tmp_path / "1", NO_PLUGIN)
    with pytest.raises(HostError, match=rf"found: {path}/docker.*buildx") as caught:
        host.docker_client({"PATH": path})
    assert caught.value.hint


def test_ca_bundle_is_the_one_named_in_the_environment(tmp_path: Path) -> None:
    bundle = tmp_path / "site.pem"
    bundle.write_text("certificates")
    assert host.ca_bundle({"REQUESTS_CA_BUNDLE": str(bundle)}) == bundle
    assert host.ca_bundle({"SSL_CERT_FILE": "/none", "PIP_CERT": str(bundle)}) == bundle


def test_ca_bundle_is_the_systems_when_none_is_named() -> None:
    assert "BEGIN CERTIFICATE" in host.ca_bundle({}).read_text()


def pip_settings(environment: dict[str, str]) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    parser.read_string(host.pip_conf(environment))
    return dict(parser["global"])


def test_pip_settings_are_those_that_reach_an_index(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(
        "[global]\nindex_url = https://me:pw@index.example/simple\ncert = /host/only.pem\n"
        "[install]\ntrusted-host =\n    one.example\n    two.example\nuser = yes\n"
    )
    settings = pip_settings({"HOME": str(tmp_path / "none"), "PIP_CONFIG_FILE": str(file)})
    assert settings["index-url"] == "https://me:pw@index.example/simple"
    assert settings["trusted-host"].split() == ["one.example", "two.example"]
    assert settings["cert"] == "/run/secrets/ca.pem"
    assert "user" not in settings


def test_pip_environment_overrides_files(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[global]\nindex-url = https://file.example/simple\nproxy = http://p:1\n")
    settings = pip_settings(
        {
            "HOME": str(tmp_path),
            "PIP_INDEX_URL": "https://environment.example/simple",
            "PIP_DEFAULT_TIMEOUT": "99",
        }
    )
    assert settings["index-url"] == "https://environment.example/simple"
    assert settings["proxy"] == "http://p:1"
    assert settings["timeout"] == "99"


def test_pip_configuration_can_be_switched_off_as_pip_does(tmp_path: Path) -> None:
    file = tmp_path / ".config" / "pip" / "pip.conf"
    file.parent.mkdir(parents=True)
    file.write_text("[global]\nindex-url = https://file.example/simple\n")
    settings = pip_settings({"HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull})
    assert "index-url" not in settings


def test_a_broken_pip_configuration_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("index-url without a section\n")
    with pytest.raises(HostError, match=str(file)):
        host.pip_conf({"PIP_CONFIG_FILE": str(file)})


def test_apt_takes_over_the_hosts_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "apt.conf"
    file.write_text('Acquire::http::Proxy "http://proxy.example:3142";\n')
    monkeypatch.setenv("APT_CONFIG", str(file))
    assert 'Acquire::http::Proxy "http://proxy.example:3142";' in host.apt_conf()


def test_proxy_values_stay_out_of_the_arguments() -> None:
    environment = {"https_proxy": "http://me:pw@proxy:1", "NO_PROXY": "a", "http_proxy": ""}
    arguments = host.proxy_arguments(environment)
    assert arguments == ["--build-arg", "https_proxy", "--build-arg", "NO_PROXY"]
