"""Every setting of Quaderno: its type, default, help, and which components may read it.

`quaderno.yaml` holds what an operator chose; `Config` is the whole. Unknown keys are refused, so
a typo is an error and never a silently ignored wish. Secrets, and what only some components need,
are marked with these: `for_component` gives each component a copy without the others', and this
copy is the only configuration an unprivileged process ever sees.
"""

from quaderno.config.choices import CpuChoice, MemoryChoice
from quaderno.config.file import (
    CONFIG_FILE,
    complete,
    default_directory,
    dump,
    for_component,
    generate,
    load,
    load_file,
    marked_fields,
    parse,
    secret_fields,
)
from quaderno.config.kinds import NeededBy
from quaderno.config.sections import (
    Image,
    Ports,
    Section,
    Servers,
    Site,
    Tls,
)
from quaderno.config.settings import Config

__all__ = [
    "CONFIG_FILE",
    "Config",
    "CpuChoice",
    "Image",
    "MemoryChoice",
    "NeededBy",
    "Ports",
    "Section",
    "Servers",
    "Site",
    "Tls",
    "complete",
    "default_directory",
    "dump",
    "for_component",
    "generate",
    "load",
    "load_file",
    "marked_fields",
    "parse",
    "secret_fields",
]
