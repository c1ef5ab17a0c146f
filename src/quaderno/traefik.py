"""What all Traefiks of an instance have in common: how they listen, their files, certificates.

Each has a directory of root's, which its group may enter. Files in it are replaced whole, for
Traefik reads while we write.
"""

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from quaderno.config import Config


def command(home: Path) -> list[str]:
    """Traefik with the static configuration that lies in `home`."""
    program = Path(sys.prefix) / "bin" / "traefik"
    return [str(program), f"--configFile={home / 'traefik.yaml'}"]


def static(routes: Path, entry_points: dict[str, Any]) -> dict[str, Any]:
    """The static configuration: where it listens, and the directory of its routes. One of the
    entry points is `api`."""
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "log": {"level": "INFO", "noColor": True},
        "entryPoints": entry_points,
        "providers": {
            "file": {"directory": str(routes), "watch": True},
            # Every server's start waits for its route: apply changes almost at once.
            "providersThrottleDuration": "10ms",
        },
        "ping": {"entryPoint": "api"},
    }


def entry_point(host: str, port: int) -> dict[str, Any]:
    """No limit on how long a request is read: uploads of notebooks take what they take.

    Names of files arrive encoded and may hold anything but NUL. Headers spelt `X_Forwarded_For`
    are dropped: applications could take them for those that we set.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return {
        "address": address,
        "transport": {"respondingTimeouts": {"readTimeout": 0}},
        "http": {
            "encodedCharacters": {"allowEncodedNullCharacter": False},
            "aliasHeadersStrategy": "delete",
        },
    }


# --- the operator's certificate


def certificate_store(home: Path) -> dict[str, Any]:
    """Routes' part that has our copy of the certificate used for every name."""
    files = home / "tls"
    pair = {"certFile": str(files / "certificate.pem"), "keyFile": str(files / "key.pem")}
    return {"default": {"defaultCertificate": pair}}


def copy_certificates(config: Config, home: Path, user: int, group: int) -> None:
    """For `user` alone: private keys are usually root's. Raises OSError."""
    directory(home / "tls", 0, 0, 0o711)
    for source, copy in _certificates(config, home):  # not for the group, which others may be in
        replace(home, copy, source.read_bytes(), user, group, 0o400)


def certificates_renewed(config: Config, home: Path) -> bool:
    """Whether the operator's certificate or key is not what Traefik has; raises OSError."""
    return any(
        not copy.exists() or copy.read_bytes() != source.read_bytes()
        for source, copy in _certificates(config, home)
    )


def _certificates(config: Config, home: Path) -> list[tuple[Path, Path]]:
    """The operator's files and our copies."""
    pairs = ((config.tls.certificate, "certificate.pem"), (config.tls.key, "key.pem"))
    if config.tls.mode != "files":
        return []
    return [(source, home / "tls" / name) for source, name in pairs if source is not None]


# --- files


def write(home: Path, path: Path, content: dict[str, Any], group: int) -> None:
    """`content` as YAML, for the component that `home` is named after."""
    text = f"# Written by `quaderno run {home.name}`; changes are lost.\n" + yaml.safe_dump(content)
    replace(home, path, text.encode(), 0, group, 0o640)


def replace(home: Path, path: Path, content: bytes, user: int, group: int, mode: int) -> None:
    """Atomic; begun in `home`, which is root's."""
    temporary = home / f".{path.name}.new"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if os.geteuid() == 0:
            os.fchown(descriptor, user, group)
        os.fchmod(descriptor, mode)
        file.write(content)
    temporary.replace(path)


def directory(path: Path, user: int, group: int, mode: int) -> None:
    """In a directory of root's, so that nobody can have put a link in its place."""
    path.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(path, user, group)
    path.chmod(mode)
