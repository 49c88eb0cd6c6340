"""``python -S launch.py <parent pid> <program> <arguments>``: becomes the program, which dies with its parent.

The request to the kernel survives ``execve``: programs that know nothing of it (a broker, a web server) are held too.
A script with nothing but the standard library, because it stands between ``fork`` and ``exec``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Ask to be killed with the parent, see that it still lives, and become the command."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
