#!/usr/bin/env python3
"""Chromium, which does not hear of networks that come and go.

Those of servers do, also of other tests; whatever it is just connecting to then ends with
ERR_NETWORK_CHANGED, be it on the loopback interface. No option keeps it from listening, but it does
without where the kernel gives it no socket for rtnetlink(7).
"""

import errno
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])

from tests import seccomp

CHROMIUM = __file__
REAL = "/usr/bin/chromium"
_SOCKET = {"x86_64": 41, "aarch64": 198}  # socket(2)
_FAMILY, _PROTOCOL = 0, 2  # of its arguments
_AF_NETLINK, _NETLINK_ROUTE = 16, 0

if __name__ == "__main__":
    seccomp.refuse(_SOCKET, {_FAMILY: _AF_NETLINK, _PROTOCOL: _NETLINK_ROUTE}, errno.EAFNOSUPPORT)
    os.execv(REAL, [REAL, *sys.argv[1:]])  # noqa: S606 - no shell
