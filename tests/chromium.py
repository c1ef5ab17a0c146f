#!/usr/bin/env python3
"""Chromium, which does not hear of networks that come and go.

Those of servers do, also of other tests; whatever it is just connecting to then ends with
ERR_NETWORK_CHANGED, be it on the loopback interface. No option keeps it from listening, but it does
without where the kernel gives it no socket for rtnetlink(7); see seccomp(2) for the filter.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

CHROMIUM = __file__
REAL = "/usr/bin/chromium"
# By machine: how the kernel calls it (linux/audit.h), and the number of socket(2) there.
KINDS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
NUMBER, ARCHITECTURE, FAMILY, PROTOCOL = 0, 4, 16, 32  # where they are in `struct seccomp_data`
AF_NETLINK, NETLINK_ROUTE = 16, 0
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EAFNOSUPPORT
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38


class Program(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def deafen(architecture: int, socket: int) -> None:
    """Refuse this process, and those that it becomes and begins, such a socket."""
    wanted = [
        (ARCHITECTURE, architecture),
        (NUMBER, socket),
        (FAMILY, AF_NETLINK),
        (PROTOCOL, NETLINK_ROUTE),
    ]
    steps: list[tuple[int, int, int, int]] = []
    for left, (place, value) in enumerate(reversed(wanted)):
        steps[:0] = [(LOAD, 0, 0, place), (IF_EQUAL, 0, 2 * left + 1, value)]
    steps += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    packed = b"".join(struct.pack("HBBI", *step) for step in steps)
    program = Program(len(steps), packed)
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*call):
            raise OSError(ctypes.get_errno(), "no filter for Chromium")


if __name__ == "__main__":
    if kind := KINDS.get(platform.machine()):
        deafen(*kind)
    os.execv(REAL, [REAL, *sys.argv[1:]])  # noqa: S606 - no shell
