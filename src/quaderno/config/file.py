"""quaderno.yaml: read with errors an operator can act on, written, cut into slices, generated."""

import base64
import os
import secrets
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from quaderno.config.choices import CpuChoice, MemoryChoice
from quaderno.config.kinds import NeededBy
from quaderno.config.sections import Ports
from quaderno.config.settings import Config
from quaderno.errors import ConfigError

CONFIG_FILE = "quaderno.yaml"


def load(directory: Path) -> Config:
    """The configuration in `directory`/quaderno.yaml.

    Raises ConfigError, in one line that names the key, when it cannot be used.
    """
    return load_file(directory / CONFIG_FILE)


def load_file(path: Path) -> Config:
    """The configuration in the file `path`; `dir` defaults to the file's directory."""
    data = _read(path)
    data.setdefault("dir", str(path.parent.absolute()))
    return parse(data, path)


def complete(path: Path) -> list[str]:
    """Add the sections of secrets that this version needs and an older one did not know, with new
    secrets in them; their names. Nothing else of the file is changed.

    Raises ConfigError.
    """
    data = _read(path)
    known = {path[0] for path in secret_fields()}
    lacking = sorted(known - data.keys()) if "instance" in data else []
    if lacking:
        made = yaml.safe_load(dump(generate(path.parent), exclude_defaults=True))
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" + yaml.safe_dump({name: made[name] for name in lacking}))
            file.flush()
            os.fsync(file.fileno())
    return lacking


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist", "Write one with: quaderno init") from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", "It is readable by root only"
        ) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: bytes, or a date with a 13th month
        where = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {where}", "Correct the file") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} does not hold settings", "Write one with: quaderno init")
    return data


class _Loader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but a key that stands twice is an error, as the YAML
    specification (3.2.1.3) wants, and not silently the last one."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be plain text; text that begins with { or [ needs quotes",
                key.start_mark,
            )  # fmt: skip
        name = loader.construct_object(key)
        if name in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {name!r} stands twice", key.start_mark
            )
        seen.add(name)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def parse(data: dict[str, Any], source: Path) -> Config:
    """`data` as a Config; raises ConfigError naming `source` and the first offending key."""
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = ".".join(str(part) for part in problem["loc"]) or "the file"
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            reason = "unknown setting" + _did_you_mean(problem["loc"])
        elif problem["type"] == "missing":
            reason = "required, but not set"
        raise ConfigError(
            f"{source}: {key}: {reason}", "docs/reference/settings.md lists every setting"
        ) from error


def _did_you_mean(location: tuple[int | str, ...]) -> str:
    section: Any = Config
    for part in location[:-1]:
        field = getattr(section, "model_fields", {}).get(part)
        section = field.annotation if field else None
    known = list(getattr(section, "model_fields", {}))
    close = get_close_matches(str(location[-1]), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def dump(config: Config, *, exclude_defaults: bool = False) -> str:
    """`config` as YAML, secrets included."""
    data = config.model_dump(mode="json", exclude_defaults=exclude_defaults)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def marked_fields(
    model: type[BaseModel] = Config, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], frozenset[str]]]:
    """The path of each setting, or whole section, that only some components need, and those."""
    for name, field in model.model_fields.items():
        if (components := _needed_by(field)) is not None:
            yield (*path, name), components
        if section := _section(field):
            yield from marked_fields(section, (*path, name))


def secret_fields(model: type[BaseModel] = Config) -> Iterator[tuple[str, ...]]:
    """Each secret setting's path."""
    for name, field in model.model_fields.items():
        if field.annotation is SecretStr:
            yield (name,)
        elif section := _section(field):
            yield from ((name, *path) for path in secret_fields(section))


def for_component(config: Config, component: str) -> Config:
    """A copy of `config` in which what `component` does not need is as if it were not set: a secret
    is empty, anything else has its default."""
    data = config.model_dump(mode="json")
    _keep_needed(data, Config, component)
    return Config.model_validate(data)


def _keep_needed(data: dict[str, Any], model: type[BaseModel], component: str) -> None:
    for name, field in model.model_fields.items():
        components = _needed_by(field)
        if components is not None and component not in components:
            if field.annotation is SecretStr:
                data[name] = ""
            else:
                del data[name]
        elif section := _section(field):
            _keep_needed(data[name], section, component)


def _needed_by(field: FieldInfo) -> frozenset[str] | None:
    """None for what all may read."""
    marks = (mark.components for mark in field.metadata if isinstance(mark, NeededBy))
    return next(marks, None)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def generate(
    directory: Path,
    *,
    public_url: str | None = None,
    first_port: int = 8000,
    network: str | None = None,
    cpu: CpuChoice | None = None,
    memory: MemoryChoice | None = None,
) -> Config:
    """A new instance's configuration with fresh secrets; raises ConfigError as `parse` does."""
    ports = Ports.from_first(first_port)
    servers: dict[str, Any] = {"network": network, "cpu": cpu, "memory": memory}
    data: dict[str, Any] = {
        "dir": directory.absolute(),
        "instance": "q" + secrets.token_hex(3),
        "public_url": public_url or f"http://127.0.0.1:{ports.web}",
        "ports": ports,
        "edge": {"api_password": secrets.token_urlsafe(32)},
        "hub": {"cookie_secret": secrets.token_hex(32), "crypt_key": secrets.token_hex(32)},
        "oidc": {"client_secret": secrets.token_urlsafe(32)},
        "iam": {"secret_key": secrets.token_urlsafe(48), "signing_key": _rsa_key()},
        "store": {"sts_signing_key": base64.b64encode(secrets.token_bytes(32)).decode()},
        "agent": {"hub_token": secrets.token_hex(32)},
        "files": {"client_secret": secrets.token_hex(32)},
        "sites": {"secret": secrets.token_hex(32)},
        "servers": {key: value for key, value in servers.items() if value is not None},
    }
    return parse(data, directory / CONFIG_FILE)


def _rsa_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def default_directory() -> Path:
    """`/var/lib/quaderno` for root, else below the user's state directory (XDG Base Directory)."""
    if os.geteuid() == 0:
        return Path("/var/lib/quaderno")
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "quaderno"
