"""Another kernel for what this one may lack: Debian's user-mode-linux, which is a program.

It sees this machine's files, read-only, and one disk. Debian builds it with project quotas, which
the kernels of small virtual machines often leave out.
"""

import ctypes
import errno
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import seccomp

PROGRAM = "linux.uml"
MODULES = Path("/usr/lib/uml/modules")
DISK = Path("/dev/ubda")
RESULT = "RESULT "
# The calls' numbers on x86-64, the one architecture that has this kernel.
_FINIT_MODULE, _PTRACE = 313, {"x86_64": 101}
_PTRACE_GETREGSET = 0x4204
_FEATURES = "AVX2", "AVX512F", "AVX512BW", "AVX512VL", "AVX_Fast_Unaligned_Load"  # not for glibc


def run(function: Callable[[], Any], disk: Path) -> Any:
    """What `function`, of a module's top, returns when it runs as root of that kernel; JSON.

    Skips the test where there is no such kernel: on other systems and processors.
    """
    if shutil.which(PROGRAM) is None:
        pytest.skip("user-mode-linux is not installed")
    init = disk.with_suffix(".init")
    here = f"import sys; sys.path[:0] = {sys.path!r}\nfrom {__name__} import"
    begin = f"main; main({function.__module__!r}, {function.__name__!r})"
    init.write_text(f"#!{sys.executable}\n{here} {begin}\n")
    init.chmod(0o700)
    arguments = [f"ubd0={disk}", "root=none", "rootfstype=hostfs", "rootflags=/", "ro"]
    done = subprocess.run(
        [
            *(sys.executable, "-c", f"{here} become; become()"),
            *("mem=512M", *arguments, f"init={init}", "con=null", "con0=null,fd:1", "quiet"),
            "GLIBC_TUNABLES=glibc.cpu.hwcaps=" + ",".join(f"-{feature}" for feature in _FEATURES),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    for line in done.stdout.splitlines():
        if line.startswith(RESULT):
            return json.loads(line.removeprefix(RESULT))
    raise AssertionError(f"no result of {function.__name__}:\n{done.stdout}\n{done.stderr}")


def become() -> None:
    """Be that kernel from now on.

    It asks for a processor's registers with room for those that it knows, and cannot set them again
    where there are more. Refused to ask so, it asks in the old way, which leaves out those of AVX:
    programs must not use them.
    """
    seccomp.refuse(_PTRACE, {0: _PTRACE_GETREGSET}, errno.EINVAL)
    os.execvp(PROGRAM, [PROGRAM, *sys.argv[1:]])  # noqa: S606 - no shell


def main(module: str, name: str) -> None:
    """The init process: prepares what `function` finds, and switches the machine off after it."""
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        for kind, place in (("proc", "/proc"), ("tmpfs", "/run")):
            subprocess.run(["mount", "-t", kind, kind, place], check=True)
        for driver in ("quota_tree", "quota_v2"):
            _load(next(MODULES.glob(f"*/kernel/fs/quota/{driver}.ko")))
        function = getattr(__import__(module, fromlist=[name]), name)
        print(RESULT + json.dumps(function()), flush=True)  # noqa: T201 - the machine's console
    except Exception:
        traceback.print_exc()  # now: the machine is soon gone
        raise
    finally:
        os.sync()
        Path("/proc/sysrq-trigger").write_text("o")


def _load(module: Path) -> None:
    descriptor = os.open(module, os.O_RDONLY)
    if ctypes.CDLL(None).syscall(_FINIT_MODULE, descriptor, b"", 0) != 0:
        raise OSError(f"{module} cannot be loaded")
