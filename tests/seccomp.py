"""Calls of the kernel that a program is refused; see seccomp(2)."""

import ctypes
import os
import platform
import struct
from collections.abc import Mapping

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # linux/audit.h
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where they are in `struct seccomp_data`
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


class _Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def refuse(numbers: Mapping[str, int], arguments: Mapping[int, int], error: int) -> None:
    """Answer a call with `error` from now on, in this process and those that it becomes and begins.

    `numbers` are the call's, by machine; on others nothing is refused. `arguments` are the values
    of those, by position, with which it is refused. Raises OSError.
    """
    machine = platform.machine()
    if machine not in numbers:
        return
    wanted = [(_ARCHITECTURE, _ARCHITECTURES[machine]), (_NUMBER, numbers[machine])]
    wanted += [(_FIRST_ARGUMENT + 8 * place, value) for place, value in arguments.items()]
    steps: list[tuple[int, int, int, int]] = []
    for left, (place, value) in enumerate(reversed(wanted)):
        steps[:0] = [(_LOAD, 0, 0, place), (_IF_EQUAL, 0, 2 * left + 1, value)]
    steps += [(_RETURN, 0, 0, _ERROR | error), (_RETURN, 0, 0, _ALLOW)]
    packed = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = _Program(len(steps), packed)
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*call):
            number = ctypes.get_errno()
            raise OSError(number, f"no seccomp filter: {os.strerror(number)}")
