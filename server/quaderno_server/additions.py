"""Packages that people add: an environment of their own in `local`, on top of the image's.

What is installed there is found before what the image has, by kernels and in terminals. JupyterLab
itself runs without it: whatever people install, their server starts.

There is one environment for each Python that images bring, told apart by version, ABI and place,
since an environment is of no use to another.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import site
import sys
import sysconfig
from collections.abc import MutableMapping
from pathlib import Path

from quaderno_server import kept

ROOT = kept.WORKAREA / "local" / "environments"
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_KERNELS = Path("share", "jupyter", "kernels")
# Where Jupyter looks for kernels and for all else of its own, of which there is nothing.
_JUPYTER = Path("share", "quaderno")
# As `pip` would be, which is the image's until somebody installs another.
_PIP = '#!/bin/sh\nexec "${0%/*}/python" -m pip "$@"\n'


def directory() -> Path:
    """Where the environment for this Python is, or would be."""
    python = (sysconfig.get_config_var("SOABI"), sys.prefix, os.path.realpath(sys.executable))
    digest = hashlib.sha256("\0".join(map(str, python)).encode()).hexdigest()
    return ROOT / f"{VERSION}-{digest[:8]}"


def packages(environment: Path) -> Path:
    """Where its packages are."""
    return environment / "lib" / VERSION / "site-packages"


def use(environ: MutableMapping[str, str]) -> None:
    """Have a server with `environ` start kernels in the environment, and terminals find it.

    Where there is no room for one, or the image has no kernel, all is as the image has it.
    """
    try:
        environment = ensure(directory())
    except (OSError, ValueError, LookupError):
        return
    ours = {"PATH": environment / "bin", "JUPYTER_PATH": environment / _JUPYTER}
    for name, place in ours.items():
        environ[name] = os.pathsep.join(filter(None, [str(place), environ.get(name)]))
    environ["VIRTUAL_ENV"] = str(environment)


def ensure(environment: Path) -> Path:
    """`environment`, made if it is not complete. Raises OSError, and ValueError or LookupError when
    the image's kernel is not described as Jupyter would.

    The kernel's description is written last: with it, an environment is complete.
    """
    kernel = _KERNELS / "python3"
    complete = environment / kernel / "kernel.json"
    if complete.is_file():
        return environment
    import venv  # of no use most of the time

    venv.EnvBuilder(symlinks=True).create(environment)
    places = filter(os.path.isdir, site.getsitepackages())
    lines = [f"import site; site.addsitedir({place!r})\n" for place in places]
    (packages(environment) / "image.pth").write_text("".join(lines))
    for name in ("pip", "pip3"):
        program = environment / "bin" / name
        program.write_text(_PIP)
        program.chmod(0o755)
    (environment / _JUPYTER).mkdir(parents=True, exist_ok=True)
    link = environment / _JUPYTER / "kernels"
    if not link.is_symlink():
        link.symlink_to(environment / _KERNELS)
    of_image = _of_image(kernel)
    shutil.copytree(
        of_image, complete.parent, ignore=lambda *_: [complete.name], dirs_exist_ok=True
    )
    description = json.loads((of_image / complete.name).read_text())
    description["argv"][0] = str(environment / "bin" / "python")
    new = complete.with_suffix(".new")
    new.write_text(json.dumps(description, indent=1))
    new.replace(complete)
    return environment


def _of_image(kernel: Path) -> Path:
    """Where the image has it: Debian's Python keeps what pip installs in another prefix than its
    own. Raises FileNotFoundError."""
    prefixes = dict.fromkeys([sysconfig.get_path("data"), sys.prefix])
    for place in (Path(prefix, kernel) for prefix in prefixes):
        if place.is_dir():
            return place
    raise FileNotFoundError(f"no kernel {kernel} in {', '.join(prefixes)}")
