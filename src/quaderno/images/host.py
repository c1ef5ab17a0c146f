"""What a build of an image needs to know of this host: a client that can build, and how the host
reaches the network (certificate authorities, proxies, package indexes).

Sites often sit behind a proxy that signs TLS anew, or have indexes of their own. A build uses what
the host uses, through BuildKit secrets and predefined build arguments: neither leaves a trace in
the image.
"""

import configparser
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import certifi

from quaderno.errors import HostError

CA_SECRET = "/run/secrets/ca.pem"  # noqa: S105 (a path)
# BuildKit predefines these arguments and keeps them out of an image's history.
PROXY_ARGUMENTS = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
USUAL_DIRECTORIES = ("/usr/local/bin", "/usr/bin")
_BUILTIN_BUILDKIT_UNTIL = 23  # from this version on, clients build through the buildx plugin


def docker_client(environment: Mapping[str, str] = os.environ) -> Path:
    """A `docker` that can build with BuildKit; the first that does, of all that are installed.

    Raises HostError when there is none.
    """
    clients = list(_docker_clients(environment))
    for client in clients:
        if _builds_with_buildkit(client):
            return client
    found = ", ".join(map(str, clients)) or "none"
    raise HostError(
        f"No docker client here can build images with BuildKit (found: {found})",
        "Install the buildx plugin (packages docker-buildx-plugin or docker-buildx), "
        "or Debian 12's docker.io",
    )


def _docker_clients(environment: Mapping[str, str]) -> Iterable[Path]:
    directories = environment.get("PATH", "").split(os.pathsep)
    for directory in dict.fromkeys([*directories, *USUAL_DIRECTORIES]):
        if directory and (client := shutil.which("docker", path=directory)):
            yield Path(client)


def _builds_with_buildkit(client: Path) -> bool:
    version = re.search(r"Docker version (\d+)\.", _output([str(client), "--version"]))
    if version and int(version[1]) < _BUILTIN_BUILDKIT_UNTIL:
        return True
    return "buildx" in _output([str(client), "buildx", "version"])


def _output(command: list[str]) -> str:
    """What `command` prints; nothing when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def ca_bundle(environment: Mapping[str, str] = os.environ) -> Path:
    """The certificate authorities that this host trusts, as one PEM file."""
    named = [environment.get(name) for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")]
    usual = ["/etc/ssl/certs/ca-certificates.crt", ssl.get_default_verify_paths().cafile]
    for candidate in (*named, *usual):
        if candidate and Path(candidate).is_file():
            return Path(candidate)
    return Path(certifi.where())


def pip_conf(environment: Mapping[str, str] = os.environ) -> str:
    """A pip.conf with this host's indexes and proxy, for a build. It may hold passwords."""
    settings: dict[str, str] = {}
    for path in _pip_files(environment):
        settings |= _pip_settings(path)
    for name in PIP_SETTINGS:
        variable = "PIP_DEFAULT_TIMEOUT" if name == "timeout" else _pip_variable(name)
        if value := environment.get(variable):
            settings[name] = value
    lines = [f"{name} = " + "\n    ".join(value.split()) for name, value in settings.items()]
    return "\n".join(["[global]", f"cert = {CA_SECRET}", *lines, ""])


def _pip_variable(name: str) -> str:
    return "PIP_" + name.upper().replace("-", "_")


def _pip_files(environment: Mapping[str, str]) -> list[Path]:
    """pip's configuration files, the strongest last (pip's documentation, "Configuration")."""
    home = Path(environment.get("HOME") or Path.home())
    config_home = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        config_home / "pip" / "pip.conf",
        Path(sys.prefix) / "pip.conf",
    ]
    if named := environment.get("PIP_CONFIG_FILE"):
        files = [Path(named)] if named == os.devnull else [*files, Path(named)]
    return files


def _pip_settings(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise HostError(f"{path} cannot be read: {error}", "Correct pip's configuration") from error
    sections = [dict(parser[name]) for name in ("global", "install") if name in parser]
    return {
        name.replace("_", "-"): value
        for section in sections
        for name, value in section.items()
        if name.replace("_", "-") in PIP_SETTINGS
    }


def apt_conf() -> str:
    """An apt configuration with this host's proxy, for a build."""
    query = ["apt-config", "dump", "--format", '%F "%v";%n']
    proxies = _output([*query, "Acquire::http::Proxy", "Acquire::https::Proxy"])
    return f'Acquire::https::CaInfo "{CA_SECRET}";\n{proxies}'


def proxy_arguments(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Build arguments for the proxies in `environment`; the client reads their values from there,
    so that no password is an argument of a process."""
    names = [case for name in PROXY_ARGUMENTS for case in (name, name.upper())]
    return [part for name in names if environment.get(name) for part in ("--build-arg", name)]
