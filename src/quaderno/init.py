"""A new instance's quaderno.yaml: secrets, and sizes and addresses that fit this machine."""

import ipaddress
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import yaml

from quaderno import network
from quaderno.config import CONFIG_FILE, Config, CpuChoice, MemoryChoice, generate
from quaderno.errors import ConfigError
from quaderno.quantities import parse_memory

_GIB = 2**30
_HEADER = """\
# Settings of this Quaderno instance: what was chosen or generated; all else has its default.
# docs/reference/settings.md lists every setting. After a change: quaderno check, quaderno up.
# It holds secrets: keep it readable by root alone, and in the backup.
"""


def write(directory: Path, *, public_url: str | None = None, first_port: int = 8000) -> Config:
    """Write `directory`/quaderno.yaml (0600) for this machine.

    Raises ConfigError when there is one already: it is never overwritten.
    """
    path = directory / CONFIG_FILE
    if path.exists():
        raise _exists(path)
    config = generate(
        directory,
        public_url=public_url,
        first_port=first_port,
        network=free_network(net for net, _ in network.taken()),
        cpu=cpu_choice(os.cpu_count() or 1),
        memory=memory_choice(psutil.virtual_memory().total),
    )
    _store(path, _HEADER + render(config))
    return config


def _store(path: Path, text: str) -> None:
    """Whole or not at all, and never over another: the link fails when `path` exists."""
    if not path.parent.exists():  # one that was there keeps its mode; `check` says if it is closed
        path.parent.mkdir(parents=True)
        path.parent.chmod(0o711)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    finally:
        temporary.unlink()


def _exists(path: Path) -> ConfigError:
    return ConfigError(f"{path} exists already", "Edit it, or choose another directory with --dir")


class _Dumper(yaml.SafeDumper):
    """Writes keys as the PEM blocks that they are."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", value, style="|" if "\n" in value else None
    )


_Dumper.add_representer(str, _text)


def render(config: Config) -> str:
    """`config` as YAML without what has its default or is the file's own place."""
    data: dict[str, Any] = config.model_dump(mode="json", exclude_defaults=True, exclude={"dir"})
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def cpu_choice(cores: int) -> CpuChoice:
    """Half a CPU, and powers of two up to all `cores`; one by default."""
    return CpuChoice(choices=[0.5, *_powers_of_two(cores)], default=1)


def memory_choice(total: int) -> MemoryChoice:
    """Powers of two GiB up to half of `total` bytes; 2 GiB by default where that is on offer."""
    choices = [n * _GIB for n in _powers_of_two(total // 2 // _GIB)] or [parse_memory("512M")]
    return MemoryChoice(choices=choices, default=min(2 * _GIB, choices[-1]))


def _powers_of_two(most: int) -> Iterator[int]:
    value = 1
    while value <= most:
        yield value
        value *= 2


def free_network(taken: Iterable[ipaddress.IPv4Network]) -> str:
    """A private /20 that overlaps none of `taken`; the usual one where it is free.

    Raises ConfigError when every private address is taken.
    """
    used = list(taken)
    for candidate in _candidates():
        if not any(candidate.overlaps(other) for other in used):
            return str(candidate)
    raise ConfigError("no private /20 network is free on this machine", "Set `servers.network`")


def _candidates() -> Iterator[ipaddress.IPv4Network]:
    """First 10.213.0.0/16, which few others use, then all of RFC 1918 from the top of each."""
    for pool in ("10.213.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"):
        subnets = list(ipaddress.IPv4Network(pool).subnets(new_prefix=20))
        yield from subnets if pool == "10.213.0.0/16" else reversed(subnets)
